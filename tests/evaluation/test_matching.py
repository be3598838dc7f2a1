from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.evaluation.metrics.matching import (
    best_truth,
    box_overlap,
    first_hits,
    greedy_hits,
    pairs,
    pixel_overlap,
)

LEVELS = np.array([0.25, 0.5, 0.75])
quarters = st.integers(0, 4).map(lambda value: value / 4)
keys = st.lists(st.integers(0, 2), max_size=8).map(lambda own: np.array(own, np.int64))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of predictions and truths, and an overlap of every pair; many are equal."""
    predicted, truth = draw(keys), draw(keys)
    table = [[draw(quarters) for _ in truth] for _ in predicted]
    return predicted, truth, np.array(table).reshape(len(predicted), len(truth))


@given(keys, keys)
def test_pairs_are_those_of_equal_key(predicted: np.ndarray, truth: np.ndarray) -> None:
    expected = [
        (i, j) for i, key in enumerate(predicted) for j, other in enumerate(truth) if key == other
    ]
    assert list(zip(*(own.tolist() for own in pairs(predicted, truth)), strict=True)) == expected


@given(problems())
@settings(deadline=None)
def test_one_chance_each(problem: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Pascal VOC, in loops."""
    predicted, truth, table = problem
    expected, used = [], set()
    for i, key in enumerate(predicted):
        own = [j for j, other in enumerate(truth) if other == key]
        best = max(own, key=lambda j: (table[i, j], -j), default=None)
        hit = best is not None and table[i, best] >= 0.5 and best not in used
        expected.append(hit)
        if hit:
            used.add(best)
    rows = np.arange(len(predicted), dtype=float)[:, None]
    columns = np.arange(len(truth), dtype=float)[:, None]
    found = first_hits(
        *best_truth(
            predicted,
            rows,
            truth,
            columns,
            overlap=lambda a, b: table[a[:, 0].astype(int), b[:, 0].astype(int)],
        ),
        0.5,
    )
    assert found.tolist() == expected


@given(problems(), st.data())
@settings(deadline=None)
def test_the_best_that_is_left(
    problem: tuple[np.ndarray, np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    """ActivityNet's rule and COCO's, in loops."""
    predicted, truth, table = problem
    flags = st.lists(st.booleans(), min_size=len(truth), max_size=len(truth))
    second, reusable = (np.array(data.draw(flags), bool) for _ in range(2))
    expected = np.full((len(LEVELS), len(predicted)), -1)
    for k, level in enumerate(LEVELS):
        used: set[int] = set()
        for i, key in enumerate(predicted):
            left = [
                j
                for j, other in enumerate(truth)
                if other == key and table[i, j] >= level and (j not in used or reusable[j])
            ]
            if left:
                expected[k, i] = max(left, key=lambda j: (not second[j], table[i, j], j))
                used.add(int(expected[k, i]))
    left, right = pairs(predicted, truth)
    found = greedy_hits(
        predicted,
        left,
        right,
        table[left, right],
        LEVELS,
        second_choice=second,
        reusable=reusable,
    )
    assert found.tolist() == expected.tolist()


def _overlap_by_loops(first: list[float], second: list[float], last: float) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0]) + last
    height = min(first[3], second[3]) - max(first[1], second[1]) + last
    shared = width * height if width > 0 and height > 0 else 0.0
    areas = [(box[2] - box[0] + last) * (box[3] - box[1] + last) for box in (first, second)]
    return shared / (sum(areas) - shared)


@given(st.lists(st.lists(st.integers(0, 9), min_size=8, max_size=8), min_size=1, max_size=5))
def test_overlaps(corners: list[list[int]]) -> None:
    numbers = np.array(corners, float)
    numbers[:, [2, 3, 6, 7]] += numbers[:, [0, 1, 4, 5]] + 1
    first, second = numbers[:, :4], numbers[:, 4:]
    for function, last in ((box_overlap, 0.0), (pixel_overlap, 1.0)):
        expected = [_overlap_by_loops(*both, last) for both in zip(first, second, strict=True)]
        np.testing.assert_allclose(function(first, second), expected, rtol=0, atol=1e-15)


def test_many_pairs_are_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    predicted, truth = generator.integers(0, 5, 200), generator.integers(0, 5, 50)
    boxes = [np.sort(generator.random((count, 2, 2)), axis=1).reshape(-1, 4) for count in (200, 50)]
    whole = best_truth(predicted, boxes[0], truth, boxes[1])
    monkeypatch.setattr("vidattn.evaluation.metrics.matching._PAIRS_AT_ONCE", 7)
    parts = best_truth(predicted, boxes[0], truth, boxes[1])
    assert [own.tolist() for own in whole] == [own.tolist() for own in parts]


def test_two_points_match_nothing() -> None:
    point = np.array([[1.0, 1.0, 1.0, 1.0]])
    key = np.array([0])
    best, overlap = best_truth(key, point, key, point)
    assert (best.tolist(), overlap.tolist()) == ([-1], [0.0])
