from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sampling.test_times import PHONE
from vidattn.errors import ArgumentError
from vidattn.sampling import FrameSpacing, FrameTimes, TimeSpacing, dense_clips, pad, view_starts

gaps = st.lists(st.sampled_from([0.01, 0.04, 0.3, 2.0, 30.0]), min_size=2, max_size=60)


def timed(apart: list[float], length: int, step: float, start: float = 0.0) -> TimeSpacing:
    seconds = start + np.cumsum([0.0, *apart])
    return TimeSpacing(FrameTimes(seconds, len(apart) / sum(apart)), length, step)


@given(gaps, st.integers(1, 9), st.sampled_from([0.02, 0.25, 1.0]), st.integers(1, 5))
def test_frames_are_those_nearest_to_moments_a_step_apart(apart, length, step, views) -> None:
    spacing = timed(apart, length, step, start=7.0)
    seconds = spacing.times.seconds
    random = spacing.random_clip(np.random.default_rng(0))
    around = spacing.around(np.arange(len(seconds)))
    if length > 1:
        assert (around[0].min(1) <= np.arange(len(seconds))).all()
        assert (around[0].max(1) >= np.arange(len(seconds))).all()
    clips = [spacing.views(views), spacing.windows(), around, (random[0][None], random[1][None])]
    for indices, valid in clips:
        for row, mask in zip(indices, valid, strict=True):
            moments = seconds[row[0]] + step * np.arange(length)
            distance = np.abs(seconds[None] - moments[:, None]).min(1)
            assert np.allclose(np.abs(seconds[row] - moments), distance, atol=1e-9)
            inside = moments <= seconds[-1] + step / 2
            assert (mask == inside).all() or np.abs(moments - seconds[-1] - step / 2).min() < 1e-6
            assert mask[0]


@given(gaps, st.integers(1, 9), st.sampled_from([0.02, 0.25, 1.0]))
def test_windows_follow_on_each_other_to_the_last_frame(apart, length, step) -> None:
    spacing = timed(apart, length, step)
    indices, _ = spacing.windows()
    assert indices[0, 0] == 0
    assert indices[-1].max() == len(apart)
    assert (np.diff(indices[:, 0]) > 0).all()
    if length > 1:
        assert (indices[1:, 0] <= indices[:-1].max(1) + 1).all()
    assert len(indices) <= len(apart) + 1


def test_clips_of_a_phones_video_all_last_equally_long() -> None:
    spacing = TimeSpacing(FrameTimes(PHONE, 2.5), 8, 0.25)
    generator = np.random.default_rng(0)
    drawn = [spacing.random_clip(generator)[0] for _ in range(200)]
    assert (np.diff(PHONE[spacing.views(9)[0]]) <= 2.0).all()
    for clip in [*spacing.views(9)[0], *spacing.windows()[0][:-1], *drawn]:
        # The frames nearest to its end are up to a second away.
        assert 0.75 <= PHONE[clip[-1]] - PHONE[clip[0]] <= 2.75
    starts = PHONE[[clip[0] for clip in drawn]]
    # Every moment is equally likely: 2 of the 58 seconds hold four fifths of the frames.
    assert ((starts > 30) & (starts < 32)).mean() < 0.15


def test_a_pause_shows_its_frame_again_and_again() -> None:
    spacing = timed([0.5, 0.5, 30.0, 0.5, 0.5], 4, 0.5)
    indices, valid = spacing.around([1, 4])
    assert indices.tolist() == [[0, 1, 2, 2], [3, 4, 5, 5]]
    assert valid.tolist() == [[True] * 4, [True, True, True, False]]


def test_a_short_video_repeats_its_last_frame() -> None:
    indices, valid = timed([0.1, 0.3], 5, 0.2).views(2)
    assert indices.tolist() == [[0, 1, 2, 2, 2]] * 2
    assert valid.tolist() == [[True, True, True, False, False]] * 2


def test_frames_are_counted_as_ever() -> None:
    spacing = FrameSpacing(100, 8, 2.5)
    expected = pad(dense_clips(view_starts(100, 8, 2.5, 3), 8, 2.5), 100)
    for found, wanted in zip(spacing.views(3), expected, strict=True):
        assert np.array_equal(found, wanted)
    assert spacing.around([50])[0][0].tolist() == [41, 44, 46, 49, 51, 54, 56, 59]


def test_hops_last_as_long_as_frames_do_on_average() -> None:
    spacing = TimeSpacing(FrameTimes(PHONE, 2.5), 8, 0.25)
    starts = PHONE[spacing.windows(hop=5)[0][:, 0]]  # two seconds
    assert np.diff(starts[:-1]).max() <= 2.0 + 1e-9
    with pytest.raises(ArgumentError, match=r"hop: expected at most 2 s"):
        spacing.windows(hop=6)
    with pytest.raises(ArgumentError, match="hop"):
        spacing.windows(hop=0)
