"""Spreading against exact fractions, an exhaustive search, and results that are known."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.selection import select_frames, spread, uniform_frames


def by_definition(scores: list[int], count: int, uniformity: Fraction) -> list[int]:
    """Systematic sampling with exact numbers: a frame has at most one step of the sum."""
    total = len(scores)
    above = [Fraction(score - min(scores)) for score in scores]
    above = above if sum(above) else [Fraction(1)] * total
    weights = [
        (1 - uniformity) * each / sum(above) + uniformity * Fraction(1, total) for each in above
    ]
    chances = [Fraction(0)] * total
    certain: set[int] = set()
    while True:
        rest = [i for i in range(total) if i not in certain]
        share = sum(weights[i] for i in rest)
        for i in rest:
            even = Fraction(count - len(certain), len(rest))
            chances[i] = weights[i] / share * (count - len(certain)) if share else even
        over = {i for i in rest if chances[i] > 1 or (share and weights[i] and chances[i] == 1)}
        if not over:
            break
        certain |= over
        for i in over:
            chances[i] = Fraction(1)
    chosen, passed = [], Fraction(0)
    for i, chance in enumerate(chances):
        if passed <= len(chosen) + Fraction(1, 2) < passed + chance:
            chosen.append(i)
        passed += chance
    return chosen


@given(
    st.lists(st.integers(-2, 6), min_size=1, max_size=14),
    st.integers(1, 14),
    st.sampled_from([Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(1)]),
)
def test_it_is_systematic_sampling(scores: list[int], count: int, uniformity: Fraction) -> None:
    found = spread(scores, count, float(uniformity)).tolist()
    assert len(set(found)) == min(count, len(scores))
    assert found == sorted(found)
    expected = by_definition(scores, min(count, len(scores)), uniformity)
    if found != expected:  # a step may end exactly where a frame does: then rounding decides
        nudged = [by_definition(scores, min(count, len(scores)), uniformity + e) for e in NUDGES]
        assert any(np.abs(np.subtract(found, each)).max() <= 1 for each in (expected, *nudged))


NUDGES = (Fraction(1, 10**9), -Fraction(1, 10**9))


@given(
    st.integers(1, 400),
    st.integers(1, 60),
    st.lists(st.floats(-9, 9), min_size=1),
    st.floats(0, 1),
)
def test_wholly_uniform_is_the_uniform_choice(
    total: int, count: int, scores: list[float], uniformity: float
) -> None:
    values = np.resize(np.array(scores), total)
    expected = uniform_frames(total, count).tolist()
    assert spread(values, count, 1.0).tolist() == expected
    assert spread(np.full(total, scores[0]), count, uniformity).tolist() == expected
    # A gap that evenly spread frames do not keep is no reason to leave them.
    assert spread(values, count, 1.0, minimum_gap=total).tolist() == expected


def test_a_hundred_thousand_frames_that_are_wholly_uniform() -> None:
    scores = np.random.default_rng(0).normal(size=100_003)
    for count in (7, 1000, 99_991):
        assert (spread(scores, count, 1.0) == uniform_frames(100_003, count)).all()


def test_results_that_are_known() -> None:
    # A ramp p(t) = 2t has the running sum t²: the steps are at the roots.
    ramp = np.arange(1_000_000, dtype=float)
    expected = np.sqrt((np.arange(5) + 0.5) / 5) * 1e6
    np.testing.assert_allclose(spread(ramp, 5), expected, atol=2)
    # Half uniform: t²/2 + t/2 = q, so t = (√(1 + 8q) − 1) / 2.
    expected = (np.sqrt(1 + 8 * (np.arange(5) + 0.5) / 5) - 1) / 2 * 1e6
    np.testing.assert_allclose(spread(ramp, 5, 0.5), expected, atol=2)
    # A step: all frames from the second half, evenly.
    step = np.repeat([0.0, 1.0], 100)
    assert spread(step, 4).tolist() == (100 + uniform_frames(100, 4)).tolist()
    # Neither a shift nor a positive factor changes anything.
    assert (spread(ramp * 3 - 7e5, 5) == spread(ramp, 5)).all()


def test_a_spike_is_taken_once_and_the_others_as_if_it_were_not_there() -> None:
    scores = np.ones(101)
    scores[40] = 1e12
    scores[0] = 0  # the lowest
    found = spread(scores, 5).tolist()
    others = np.delete(np.arange(101), [0, 40])[uniform_frames(99, 4)]
    assert found == sorted([40, *others])
    scores = np.zeros(50)
    scores[7] = 3
    assert spread(scores, 1).tolist() == [7]
    assert spread(scores, 5).tolist() == sorted([7, *np.delete(np.arange(50), 7)[[6, 18, 30, 42]]])


def test_a_step_that_ends_with_a_frame_takes_no_frame_twice() -> None:
    """The running sum of these is rounded, and two steps fall into one frame."""
    found = spread([0.1, 0.1, 0.1, 0, 0.2, 0.1, 0.1, 0.2, 0.2, 0.2, 0.1], 7).tolist()
    assert len(set(found)) == 7
    assert {4, 7, 8, 9} <= set(found)  # each has exactly one step


def test_rounded_seconds_lose_no_gap() -> None:
    seconds = np.array([0.1, 0.4, 0.1 + 0.5, 1.3, 1.5])
    found = spread([2, 3, 4, 2, 4], 3, minimum_gap=5, positions=seconds)
    even = spread(np.ones(5), 3, positions=seconds)
    kept = np.diff(seconds[even]).min()
    assert (np.diff(seconds[found]) >= kept * (1 - 1e-6)).all()


@given(
    st.lists(st.sampled_from([0.0, 1e-300, 1.0, 3.0, 1e300, -1e308, 1.7e308]), min_size=1),
    st.integers(1, 80),
    st.floats(0, 1),
    st.floats(0, 30),
)
def test_never_a_frame_twice(
    scores: list[float], count: int, uniformity: float, gap: float
) -> None:
    found = spread(scores, count, uniformity, minimum_gap=gap)
    assert len(np.unique(found)) == len(found) == min(count, len(scores))
    assert found.min() >= 0
    assert found.max() < len(scores)


@given(st.lists(st.integers(0, 9), min_size=4, max_size=12), st.integers(2, 4), st.integers(1, 5))
def test_a_gap_is_kept_with_the_smallest_moves(scores: list[int], count: int, gap: int) -> None:
    free = spread(scores, count)
    found = spread(scores, count, minimum_gap=gap)
    even = np.diff(uniform_frames(len(scores), count)).min(initial=99)
    kept = min(gap, even)
    assert (np.diff(found) >= kept).all()
    possible = [
        each
        for each in combinations(range(len(scores)), len(free))
        if (np.diff(each) >= kept).all()
    ]
    least = min(((np.array(each) - free) ** 2).sum() for each in possible)
    assert ((found - free) ** 2).sum() == least


@given(st.data())
def test_a_gap_in_seconds_is_kept(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.floats(0.01, 3), min_size=6, max_size=40))
    seconds = np.cumsum(steps)
    scores = data.draw(st.lists(st.integers(0, 5), min_size=len(steps), max_size=len(steps)))
    count = data.draw(st.integers(2, 5))
    gap = data.draw(st.floats(0.01, 2))
    found = spread(scores, count, minimum_gap=gap, positions=seconds)
    even = spread(np.ones(len(steps)), count, positions=seconds)
    kept = min(gap, np.diff(seconds[even]).min())
    assert (np.diff(seconds[found]) >= kept * (1 - 1e-6)).all()


def test_frames_that_are_shown_for_longer_count_for_more() -> None:
    seconds = np.append(np.arange(50) * 0.1, 5 + np.arange(50.0))
    found = spread(np.ones(100), 11, 1.0, positions=seconds)
    np.testing.assert_allclose(seconds[found], (np.arange(11) + 0.5) * 5, atol=1)


def test_it_lies_between_the_best_frames_and_the_uniform_ones() -> None:
    scores = np.exp(-(((np.arange(300) - 90) / 8) ** 2))
    distances = [
        np.abs(spread(scores, 6, u) - uniform_frames(300, 6)).sum() for u in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == 0
    assert np.abs(spread(scores, 6) - 90).max() < 16
    expected_by_chance = 6 * scores.mean()
    assert scores[spread(scores, 6)].sum() > 10 * expected_by_chance
    assert scores[select_frames(scores, 6)].sum() >= scores[spread(scores, 6)].sum()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1.0, float("nan")], 1), "scores"),
        (([1.0, float("inf")], 1), "scores"),
        (([[1.0]], 1), "scores"),
        (([1.0], 0), "count"),
        (([1.0], 1, -0.1), "uniformity"),
        (([1.0], 1, 1.1), "uniformity"),
        (([1.0], 1, float("nan")), "uniformity"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple, name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        spread(*arguments)
    with pytest.raises(ArgumentError, match="minimum_gap"):
        spread([1.0], 1, minimum_gap=-1)
