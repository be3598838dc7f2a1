"""Average precision of predictions in the order of their scores, three ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def by_score(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Order of descending scores; of equal ones the last given comes first.

    That is what reversing a stable ascending sort gives, as most published scorers do.
    """
    return np.argsort(scores, kind="stable")[::-1]


def precision_recall(
    hits: NDArray[np.bool_], positives: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall after each prediction.

    Args:
        hits: (P,) by descending score.
        positives: how many truths there are, at least 1.
    """
    found = np.cumsum(hits).astype(np.float64)
    return found / np.arange(1, len(hits) + 1), found / positives


def average_precision(hits: NDArray[np.bool_], positives: int) -> float:
    """Area under the precision that never rises, at every point where recall changes.

    NaN without positives. Source: the development kit of Pascal VOC 2010 and later.

    >>> average_precision(np.array([True, False, True]), 4)
    0.41666666666666663
    """
    if not positives:
        return float("nan")
    precision, recall = precision_recall(hits, positives)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    (places,) = np.nonzero(hits)
    steps = recall[places]
    steps[1:] -= recall[places[:-1]]
    return float(np.sum(steps * highest[places]))


def sampled_precision(
    hits: NDArray[np.bool_], positives: int, levels: NDArray[np.float64]
) -> float:
    """Mean over recall levels of the highest precision at that recall or more; 0 beyond.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge" (2010), equation 1,
    with 11 levels; COCO has 101.
    """
    if not positives:
        return float("nan")
    precision, recall = precision_recall(hits, positives)
    highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(highest[np.searchsorted(recall, levels, "left")].mean())
