from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.sampling import FrameTimes, times

PHONE = np.unique(np.concatenate([np.arange(0, 60, 2.0), np.arange(30, 32, 1 / 60)]).round(4))


def test_examples() -> None:
    assert doctest.testmod(times).failed == 0


@pytest.mark.parametrize(
    ("seconds", "even"),
    [
        (np.arange(900) * 1001 / 30000, True),
        ((np.arange(900) * 1001 / 30000).round(3), True),  # Matroska: whole milliseconds
        (5 + np.delete(np.arange(300) / 25, 100), True),  # one frame was dropped
        (np.delete(np.arange(300) / 25, range(100, 150)), False),
        (PHONE, False),
        (np.array([0, 1, 2, 32, 33.0]), False),
        (np.arange(50) * 10.0, True),  # a screen, once in ten seconds
        (np.array([3.0]), True),
        (np.array([0, 10.0]), True),
        (np.array([0, 5, 1, 2, 9.0]), True),  # tells nothing: counted
    ],
)
def test_frames_are_counted_where_that_is_right_within_half_a_frame(seconds, even) -> None:
    assert FrameTimes(seconds, 25.0).are_even is even


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=9),
    st.lists(st.floats(-5, 110), min_size=1, max_size=9),
)
def test_nearest_is_nearest(seconds, moments) -> None:
    own = np.sort(seconds)
    found = FrameTimes(own, 1.0).nearest(moments)
    distances = np.abs(own[None] - np.array(moments)[:, None])
    assert np.allclose(distances[np.arange(len(moments)), found], distances.min(1))


def test_a_gap_is_frames_where_they_are_even_and_seconds_where_not() -> None:
    positions, gap = FrameTimes.even(100, 25).apart(0.5)
    assert positions.tolist() == list(range(100))
    assert gap == 12  # to the nearest frame, halves to even
    positions, gap = FrameTimes(PHONE, 2.5).apart(0.5)
    assert positions.tolist() == PHONE.tolist()
    assert gap == pytest.approx(0.5, abs=1e-4)
    assert gap < 0.5


def test_a_part_has_the_frames_shown_in_it_and_its_own_rate() -> None:
    first, part = FrameTimes.even(100, 25).part(1.0, 2.0)
    assert (first, len(part), part.fps) == (25, 25, 25)
    assert part.seconds.tolist() == [index / 25 for index in range(25, 50)]
    phone = FrameTimes(PHONE, (len(PHONE) - 1) / 58)
    first, part = phone.part(30.0, 31.0)
    assert len(part) == 60
    assert part.fps == pytest.approx(60, rel=1e-3)
    assert part.are_even
    # Between two frames the earlier one is on the screen.
    first, part = phone.part(2.5, 3.5)
    assert (first, part.seconds.tolist()) == (1, [2.0])


def test_the_end_is_the_last_frames_own() -> None:
    assert FrameTimes.even(50, 25).end_seconds == pytest.approx(2.0)
    assert FrameTimes(np.array([1.0, 2.0, 50.0]), 0.5, 59.0).end_seconds == 60.0


def test_refuses_what_is_no_video() -> None:
    for seconds, fps in (([], 25), ([0.0], 0), ([float("nan")], 25), ([0.0], float("inf"))):
        with pytest.raises(ArgumentError):
            FrameTimes(np.array(seconds), fps)
    with pytest.raises(ArgumentError, match="frame rate"):
        FrameTimes.even(0, 25)
