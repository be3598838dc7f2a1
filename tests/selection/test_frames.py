from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.selection.frames import (
    merge_windows,
    random_frames,
    select_frames,
    stream_merged,
    uniform_frames,
    upsample_scores,
)


def by_definition(scores: list[int], count: int, gap: int) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < min(count, len(scores)):
        free = [
            i
            for i in range(len(scores))
            if i not in chosen and all(abs(i - j) >= gap for j in chosen)
        ]
        if free:
            chosen.append(min(free, key=lambda i: (-scores[i], i)))
        else:
            gap //= 2
    return sorted(chosen)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.integers(1, 14), st.integers(0, 6))
@settings(deadline=None)
def test_selection_is_its_definition(scores: list[int], count: int, gap: int) -> None:
    expected = by_definition(scores, count, gap)
    assert select_frames(scores, count, minimum_gap=gap).tolist() == expected


def by_position(scores: list[int], places: list[float], count: int, gap: float) -> list[int]:
    """Greedy; the gap is halved where none is left, down to less than any two are apart."""
    chosen: list[int] = []
    apart = [b - a for a, b in pairwise(places) if b > a]
    whole = all(place == round(place) for place in places)
    while len(chosen) < min(count, len(scores)):
        free = [
            i
            for i in range(len(scores))
            if i not in chosen and all(abs(places[i] - places[j]) >= gap for j in chosen)
        ]
        if free:
            chosen.append(min(free, key=lambda i: (-scores[i], i)))
        else:
            gap = gap // 2 if whole else gap / 2
            gap = gap if gap > min(apart, default=np.inf) else 0.0
    return sorted(chosen)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=9),
    st.lists(st.sampled_from([0.0, 0.0625, 0.25, 1.0, 32.0]), min_size=9, max_size=9),
    st.integers(1, 10),
    st.sampled_from([0.0, 0.125, 0.5, 2.0]),
)
@settings(deadline=None)
def test_selection_by_seconds_is_its_definition(scores, apart, count, gap) -> None:
    places = np.cumsum(apart)[: len(scores)].tolist()
    found = select_frames(scores, count, minimum_gap=gap, positions=places).tolist()
    assert found == by_position(scores, places, count, gap)


def test_selection_refuses_positions_that_are_none() -> None:
    for bad in ([1.0, 0.0], [0.0], [0.0, float("nan")]):
        with pytest.raises(ArgumentError, match="positions"):
            select_frames([1.0, 2.0], 1, positions=bad)


def test_selection_refuses_nan_and_nonsense() -> None:
    for bad in ([0.0, float("nan")], [[1.0]], [float("inf")]):
        with pytest.raises(ArgumentError, match="scores"):
            select_frames(bad, 1)
    with pytest.raises(ArgumentError, match="count"):
        select_frames([1.0], 0)
    with pytest.raises(ArgumentError, match="minimum_gap"):
        select_frames([1.0], 1, minimum_gap=-1)


def test_no_scores_no_frames() -> None:
    assert select_frames([], 3).tolist() == []


@given(st.integers(1, 60), st.integers(1, 70))
@settings(deadline=None)
def test_uniform_frames_are_middles_of_equal_stretches(frame_count: int, count: int) -> None:
    chosen = uniform_frames(frame_count, count)
    number = min(frame_count, count)
    assert chosen.tolist() == [int((i + 0.5) * frame_count / number) for i in range(number)]
    assert len(set(chosen.tolist())) == number


def test_random_frames_are_sets_equally_likely() -> None:
    generator = np.random.default_rng(0)
    draws = [tuple(random_frames(4, 2, generator).tolist()) for _ in range(6000)]
    sets, counts = np.unique(draws, axis=0, return_counts=True)
    assert len(sets) == 6
    assert (sets[:, 0] < sets[:, 1]).all()
    assert abs(counts - 1000).max() < 150  # five standard deviations
    assert random_frames(3, 9, generator).tolist() == [0, 1, 2]


def test_upsampling_meets_the_centres_and_holds_the_ends() -> None:
    linear = upsample_scores([2.0, 4.0, 0.0], [1, 3, 7], 10)
    assert linear.tolist() == [2, 2, 3, 4, 3, 2, 1, 0, 0, 0]
    nearest = upsample_scores([2.0, 4.0, 0.0], [1, 3, 7], 10, method="nearest")
    assert nearest.tolist() == [2, 2, 2, 4, 4, 4, 0, 0, 0, 0]
    assert upsample_scores([5.0], [-2.5], 3).tolist() == [5, 5, 5]
    for centres in ([1, 1], [2, 1], [0]):
        with pytest.raises(ArgumentError, match="centres"):
            upsample_scores([1.0, 2.0], centres, 3)
    with pytest.raises(ArgumentError, match="method"):
        upsample_scores([1.0], [0], 3, method="cubic")  # type: ignore[arg-type]


@st.composite
def window_lists(draw: st.DrawFn) -> list[tuple[int, list[float]]]:
    windows: list[tuple[int, list[float]]] = []
    first, end = 0, 0
    for _ in range(draw(st.integers(1, 6))):
        first = draw(st.integers(first, end))
        length = draw(st.integers(1, 6))
        windows.append(
            (first, draw(st.lists(st.integers(-9, 9), min_size=length, max_size=length)))
        )
        end = max(end, first + length)
    return windows


@given(window_lists())
@settings(deadline=None)
def test_merging_is_the_mean_over_windows(windows: list[tuple[int, list[float]]]) -> None:
    held: dict[int, list[float]] = {}
    for first, scores in windows:
        for index, score in enumerate(scores, start=first):
            held.setdefault(index, []).append(score)
    expected = [np.mean(held[index]) for index in range(len(held))]
    np.testing.assert_allclose(merge_windows(windows), expected, atol=1e-12)


def test_merging_streams_and_refuses_gaps() -> None:
    pieces = stream_merged((first, np.full(8, first)) for first in range(0, 10**9, 4))
    assert next(pieces).tolist() == [0, 0, 0, 0]
    assert next(pieces).tolist() == [2, 2, 2, 2]
    for windows in (
        [(1, [0.0])],
        [(0, [0.0]), (2, [0.0])],
        [(0, [0.0, 1.0]), (1, [0.0]), (0, [1.0])],
    ):
        with pytest.raises(ArgumentError, match="first frame"):
            merge_windows(windows)
    with pytest.raises(ArgumentError, match="at least one"):
        merge_windows([])


def test_one_high_window_of_many_is_found() -> None:
    """The purpose of unnormalised scores: windows of one video stay comparable."""
    generator = np.random.default_rng(1)
    windows = [(first, generator.normal(0, 1, 64)) for first in range(0, 3200, 32)]
    windows[40] = (windows[40][0], windows[40][1] + 9)
    chosen = select_frames(merge_windows(windows), 5, minimum_gap=4)
    assert ((chosen >= 40 * 32) & (chosen < 40 * 32 + 64)).all()
