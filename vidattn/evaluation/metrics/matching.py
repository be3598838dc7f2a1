"""Which predictions hit: in both rules the surest prediction of a group comes first.

A *group* is what may match at all, such as one class in one frame. Groups are integer keys.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
Numbers = NDArray[np.floating[Any]]
Overlap = Callable[[Numbers, Numbers], Numbers]

_PAIRS_AT_ONCE = 2**20


def pairs(predicted: Keys, truth: Keys) -> tuple[Keys, Keys]:
    """All (prediction, truth) positions of equal key, by prediction, then by truth.

    Args:
        predicted: (P,) group of each prediction.
        truth: (M,) group of each truth.
    """
    order = np.argsort(truth, kind="stable")
    first = np.searchsorted(truth[order], predicted, "left")
    counts = np.searchsorted(truth[order], predicted, "right") - first
    predictions = np.repeat(np.arange(len(predicted)), counts)
    begins = np.repeat(first - np.cumsum(counts) + counts, counts)
    return predictions, order[begins + np.arange(len(predictions))]


def members(groups: Keys, count: int) -> list[Keys]:
    """For each key from 0 to `count` − 1 the positions that have it, in order."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.searchsorted(groups[order], np.arange(1, count)))


def box_overlap(first: Numbers, second: Numbers) -> Numbers:
    """Intersection over union, row by row, of (N, 4) boxes x1, y1, x2, y2; NaN of two points.

    In the precision of the boxes, but for the intersection, which is float64.
    """
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    sides = np.maximum((high - low).astype(np.float64), 0.0)
    shared = sides[:, 0] * sides[:, 1]
    areas = [(box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (first, second)]
    with np.errstate(invalid="ignore"):
        return shared / (areas[0] + areas[1] - shared)


def pixel_overlap(first: Numbers, second: Numbers) -> Numbers:
    """As `box_overlap`, for boxes whose last pixel belongs to them: sides are x2 − x1 + 1."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    sides = np.where((high < low).any(1, keepdims=True), 0.0, high - low + 1)
    shared = sides[:, 0] * sides[:, 1]
    areas = [(box[:, 2] - box[:, 0] + 1) * (box[:, 3] - box[:, 1] + 1) for box in (first, second)]
    return shared / (areas[0] + areas[1] - shared)


def best_truth(
    predicted: Keys,
    predictions: Numbers,
    truth: Keys,
    truths: Numbers,
    *,
    overlap: Overlap = box_overlap,
) -> tuple[Keys, Numbers]:
    """For each prediction the truth of its group that it overlaps most, and how much.

    The first in the order of the truth where several are equal; −1 and 0 without any, or where
    an overlap is NaN.

    Args:
        predicted, truth: groups, (P,) and (M,).
        predictions, truths: what `overlap` takes, (P, …) and (M, …).
    """
    best = np.full(len(predicted), -1, np.int64)
    most = np.zeros(len(predicted))
    if not len(truth):
        return best, most
    for start in range(0, len(predicted), _PAIRS_AT_ONCE):
        stop = start + _PAIRS_AT_ONCE
        own, other = pairs(predicted[start:stop], truth)
        if not len(own):
            continue
        values = overlap(predictions[start:stop][own], truths[other])
        begins = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
        highest = np.maximum.reduceat(values, begins)
        counts = np.diff(np.r_[begins, len(own)])
        (at_highest,) = np.nonzero(values == np.repeat(highest, counts))
        rows, first = np.unique(own[at_highest], return_index=True)
        best[start + rows] = other[at_highest[first]]
        most[start + rows] = values[at_highest[first]]
    return best, most


def first_hits(best: Keys, overlaps: Numbers, threshold: float) -> NDArray[np.bool_]:
    """Which predictions hit if each may only hit its best truth, and the first takes it.

    The rule of Pascal VOC. Predictions are in the order in which they are taken.
    """
    hits = np.zeros(len(best), bool)
    (fit,) = np.nonzero((best >= 0) & (overlaps >= threshold))
    _, first = np.unique(best[fit], return_index=True)
    hits[fit[first]] = True
    return hits


def greedy_hits(
    groups: Keys,
    pair_predictions: Keys,
    pair_truths: Keys,
    overlaps: Numbers,
    thresholds: Numbers,
    *,
    second_choice: NDArray[np.bool_] | None = None,
    reusable: NDArray[np.bool_] | None = None,
) -> Keys:
    """The truth that each prediction takes, in turn: the best that is left; −1 where none is.

    Predictions are in the order in which they are taken. Of equal overlaps the later truth
    counts. Groups are independent, so the first predictions of all groups are taken at once,
    then the second ones, and so on.

    Args:
        groups: (P,) group of each prediction.
        pair_predictions, pair_truths, overlaps: (Q,) candidate pairs; no truth is in pairs
            with predictions of two groups.
        thresholds: (K,) least overlaps.
        second_choice: (M,) truths that are taken only where no other is left.
        reusable: (M,) truths that any number of predictions may take.

    Returns:
        (K, P) positions of truths.
    """
    taken = np.full((len(thresholds), len(groups)), -1, np.int64)
    if not len(pair_predictions):
        return taken
    free = np.ones((len(thresholds), int(pair_truths.max()) + 1), bool)
    # Within a prediction the best pair is the last one.
    first_choice = np.zeros(0) if second_choice is None else ~second_choice[pair_truths]
    keys = (pair_truths, overlaps, *([first_choice] if len(first_choice) else []))
    order = np.lexsort((*keys, pair_predictions))
    owners, truths, values = pair_predictions[order], pair_truths[order], overlaps[order]
    fits = values >= np.asarray(thresholds)[:, None]
    turns = _turns(groups, owners)
    by_turn = np.argsort(turns, kind="stable")
    bounds = np.searchsorted(turns[by_turn], np.arange(int(turns.max()) + 2))
    for start, stop in pairwise(bounds):
        now = by_turn[start:stop]
        rows, columns = np.nonzero(fits[:, now] & free[:, truths[now]])
        chosen = now[columns]
        last = np.ones(len(rows), bool)
        last[:-1] = (rows[1:] != rows[:-1]) | (owners[chosen[1:]] != owners[chosen[:-1]])
        rows, chosen = rows[last], chosen[last]
        taken[rows, owners[chosen]] = truths[chosen]
        once = slice(None) if reusable is None else ~reusable[truths[chosen]]
        free[rows[once], truths[chosen][once]] = False
    return taken


def _turns(groups: Keys, owners: Keys) -> Keys:
    """For each pair, the place of its prediction among those of its group that have pairs."""
    present = np.unique(owners)
    order = np.argsort(groups[present], kind="stable")
    ordered = groups[present][order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[begins, len(ordered)])
    places = np.empty(len(present), np.int64)
    places[order] = np.arange(len(ordered)) - np.repeat(begins, counts)
    return places[np.searchsorted(present, owners)]
