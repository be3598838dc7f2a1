from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.sampling import random_segments, segment_centres, segment_views

counts = st.integers(1, 500)
segment_counts = st.integers(1, 64)


@given(counts, segment_counts)
def test_centres_are_the_published_formula(frame_count, segments):
    tick = frame_count / segments
    expected = [int(tick / 2.0 + tick * i) for i in range(segments)]
    assert segment_centres(frame_count, segments).tolist() == expected


def test_centres_by_hand():
    assert segment_centres(16, 4).tolist() == [2, 6, 10, 14]
    assert segment_centres(10, 3).tolist() == [1, 5, 8]
    assert segment_centres(3, 6).tolist() == [0, 0, 1, 1, 2, 2]
    assert segment_centres(1, 4).tolist() == [0, 0, 0, 0]


@given(counts, segment_counts, st.integers(0, 2**32))
def test_random_frames_lie_in_their_own_segment(frame_count, segments, seed):
    indices = random_segments(frame_count, segments, np.random.default_rng(seed))
    assert indices.dtype == np.int64
    assert len(indices) == segments
    for i, index in enumerate(indices.tolist()):
        # Frame j covers [j, j + 1); exact bounds of the segment as fractions.
        start, end = Fraction(frame_count * i, segments), Fraction(frame_count * (i + 1), segments)
        assert floor(start) <= index < end


@given(st.integers(1, 12), st.integers(1, 6))
def test_random_frames_reach_every_frame(frame_count, segments):
    generator = np.random.default_rng(0)
    seen = {int(i) for _ in range(400) for i in random_segments(frame_count, segments, generator)}
    assert seen == set(range(frame_count))


def test_random_frames_are_uniform_within_a_segment():
    generator = np.random.default_rng(1)
    draws = np.stack([random_segments(20, 2, generator) for _ in range(8000)])
    shares = np.bincount(draws[:, 0], minlength=10) / 8000
    assert np.abs(shares - 0.1).max() < 0.02


def test_the_last_frame_is_never_overrun():
    class Largest:
        def random(self, size: int) -> np.ndarray:
            return np.full(size, np.nextafter(1.0, 0.0))

    for frame_count in range(1, 200):
        for segments in (1, 3, 7, 16, 49):
            assert random_segments(frame_count, segments, Largest())[-1] == frame_count - 1


@given(counts, segment_counts, st.integers(1, 10))
def test_views_interleave_within_segments(frame_count, segments, views):
    indices = segment_views(frame_count, segments, views)
    assert indices.shape == (views, segments)
    assert (np.diff(indices.T.ravel()) >= 0).all()
    assert indices.min() >= 0
    assert indices.max() < frame_count


@given(counts, segment_counts)
def test_one_view_is_the_centres(frame_count, segments):
    one = segment_views(frame_count, segments, 1)
    assert np.array_equal(one[0], segment_centres(frame_count, segments))


def test_many_views_of_a_segment_see_each_of_its_frames():
    assert segment_views(12, 3, 4).T.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("arguments", [(0, 4), (-3, 4), (5, 0)])
def test_refuses_what_is_not_positive(arguments):
    with pytest.raises(ArgumentError):
        segment_centres(*arguments)
    with pytest.raises(ArgumentError):
        random_segments(*arguments, np.random.default_rng(0))


@given(st.integers(8, 500), st.integers(2, 8), st.integers(0, 2**32))
def test_even_frames_are_equally_far_apart(frame_count, segments, seed):
    generator = np.random.default_rng(seed)
    indices = random_segments(frame_count, segments, generator, even=True)
    tick = frame_count / segments
    assert set(np.diff(indices)) <= {floor(tick), floor(tick) + 1}
    assert 0 <= indices[0] < tick
