from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.sampling import centred_start, dense_clips, dense_span, random_start, view_starts

counts = st.integers(1, 300)
lengths = st.integers(1, 40)
strides = st.integers(1, 9)


@given(st.integers(0, 100), lengths, strides)
def test_clip_is_an_arithmetic_progression(start, length, stride):
    clip = dense_clips(start, length, stride)
    assert clip.dtype == np.int64
    assert clip.tolist() == list(range(start, start + length * stride, stride))
    assert dense_span(length, stride) == clip[-1] - clip[0] + 1


@given(lengths, st.integers(1, 120), st.integers(1, 120))
def test_fractional_strides_take_the_nearest_frame(length, source_rate, target_rate):
    clip = dense_clips(0, length, source_rate / target_rate)
    exact = [Fraction(k * source_rate, target_rate) for k in range(length)]
    assert clip.tolist() == [floor(place + Fraction(1, 2)) for place in exact]
    assert dense_span(length, source_rate / target_rate) == clip[-1] + 1


def test_a_rate_measured_a_little_low_is_no_other_clip():
    assert dense_clips(0, 6, 29.9985 / 6).tolist() == dense_clips(0, 6, 5).tolist()


def test_several_starts_give_several_clips():
    assert dense_clips(np.array([0, 5]), 3, 2).tolist() == [[0, 2, 4], [5, 7, 9]]


def fitting_starts(frame_count: int, length: int, stride: int) -> list[int]:
    fits = [
        start for start in range(frame_count) if start + (length - 1) * stride <= frame_count - 1
    ]
    return fits or [0]


@given(counts, lengths, strides)
def test_centred_start_leaves_equal_room(frame_count, length, stride):
    start = centred_start(frame_count, length, stride)
    before = start
    after = frame_count - (start + (length - 1) * stride + 1)
    if after < 0:
        assert start == 0
    else:
        assert after - before in (0, 1)


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 4))
def test_random_start_is_any_that_fits(frame_count, length, stride):
    generator = np.random.default_rng(0)
    seen = {random_start(frame_count, length, stride, generator) for _ in range(600)}
    assert seen == set(fitting_starts(frame_count, length, stride))


@given(counts, lengths, strides, st.integers(2, 12))
def test_views_spread_from_the_first_start_to_the_last(frame_count, length, stride, views):
    starts = view_starts(frame_count, length, stride, views)
    fits = fitting_starts(frame_count, length, stride)
    assert starts[0] == 0
    assert starts[-1] == fits[-1]
    for i, start in enumerate(starts.tolist()):
        assert start == round(Fraction(fits[-1] * i, views - 1))


@given(counts, lengths, strides)
def test_one_view_is_centred(frame_count, length, stride):
    only = view_starts(frame_count, length, stride, 1).tolist()
    assert only == [centred_start(frame_count, length, stride)]


def test_ten_views_of_a_known_video():
    # 300 frames, 16 frames 4 apart: 239 is the last start.
    expected = [0, 27, 53, 80, 106, 133, 159, 186, 212, 239]
    assert view_starts(300, 16, 4, 10).tolist() == expected


@pytest.mark.parametrize("arguments", [(0, 4, 1, 1), (9, 0, 1, 1), (9, 4, 0, 1), (9, 4, 1, 0)])
def test_refuses_what_is_not_positive(arguments):
    with pytest.raises(ArgumentError):
        view_starts(*arguments)
