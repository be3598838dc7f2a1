from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidattn.evaluation.metrics.precision import average_precision, by_score, sampled_precision

rankings = st.lists(st.booleans(), max_size=12).map(lambda own: np.array(own, bool))


def _highest(hits: np.ndarray, positives: int, recall: float) -> float:
    """Highest precision at a recall of at least this, by definition."""
    values = [0.0]
    for count in range(1, len(hits) + 1):
        found = int(hits[:count].sum())
        if found / positives >= recall:
            values.append(found / count)
    return max(values)


@given(rankings, st.integers(0, 4))
def test_area_at_every_point(hits: np.ndarray, missed: int) -> None:
    positives = int(hits.sum()) + missed
    found = average_precision(hits, positives)
    if not positives:
        assert math.isnan(found)
        return
    steps = [(place + 1) / positives for place in range(positives)]
    expected = sum(_highest(hits, positives, recall) for recall in steps) / positives
    assert math.isclose(found, expected, abs_tol=1e-12)


@given(rankings, st.integers(0, 4), st.sampled_from([11, 101]))
def test_sampled_recalls(hits: np.ndarray, missed: int, count: int) -> None:
    positives = int(hits.sum()) + missed
    levels = np.linspace(0, 1, count)
    found = sampled_precision(hits, positives, levels)
    if not positives:
        assert math.isnan(found)
        return
    expected = np.mean([_highest(hits, positives, recall) for recall in levels])
    assert math.isclose(found, expected, abs_tol=1e-12)


def test_of_equal_scores_the_last_comes_first() -> None:
    assert by_score(np.array([0.5, 0.9, 0.5, 0.1])).tolist() == [1, 2, 0, 3]
