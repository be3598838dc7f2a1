"""Where shots end, against where they truly end.

A *transition* is (last frame of the old shot, first frame of the new one), 0-based. For a hard
cut the two are neighbours; the frames between them belong to neither shot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import IntArray, at_least, finite_array, index_array
from vidattn.errors import ArgumentError


class BoundaryCounts(NamedTuple):
    """What became of the boundaries of one or more videos.

    Attributes:
        matched: predicted ones that are true.
        false_positives: predicted ones that are not.
        missed: true ones that were not predicted.
    """

    matched: int
    false_positives: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of the predicted ones that are true; 0 where there are none."""
        predicted = self.matched + self.false_positives
        return self.matched / predicted if predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the true ones that were predicted; 0 where there are none."""
        true = self.matched + self.missed
        return self.matched / true if true else 0.0

    @property
    def f1(self) -> float:
        """2 · precision · recall / (precision + recall); 0 where both are."""
        precision, recall = self.precision, self.recall
        return precision * recall * 2 / (precision + recall) if self.matched else 0.0

    def plus(self, other: BoundaryCounts) -> BoundaryCounts:
        """The counts of both together."""
        return BoundaryCounts(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


def transitions_from_scores(scores: ArrayLike, threshold: float) -> IntArray:
    """Runs of frames above a threshold -> transitions.

    A run is a transition from its first frame to the first frame after it. Runs that touch
    the first or the last frame of the video separate nothing and are passed over.

    Args:
        scores: (T,), finite, T ≥ 1; one score a frame, high where a shot ends.
        threshold: frames of a higher score belong to a transition; compared as float64.

    Returns:
        (V, 2) int64, in time order.

    >>> transitions_from_scores([0, 0.9, 0.9, 0, 0.9, 0], 0.5).tolist()
    [[1, 3], [4, 5]]
    """
    values = finite_array("scores", scores, (None,))
    if not len(values):
        raise ArgumentError("scores: expected at least one frame, got none")
    steps = np.diff((values > threshold).astype(np.int8))
    rises, falls = np.flatnonzero(steps == 1) + 1, np.flatnonzero(steps == -1) + 1
    if values[0] > threshold:
        falls = falls[1:]
    return np.stack([rises[: len(falls)], falls], axis=1).astype(np.int64)


def transitions_from_shots(shots: ArrayLike) -> IntArray:
    """Shots as (first, last frame), in time order -> the transitions between them.

    >>> transitions_from_shots([[0, 9], [10, 19], [25, 40]]).tolist()
    [[9, 10], [19, 25]]
    """
    spans = index_array("shots", shots, (None, 2))
    if not len(spans) or (spans[:, 0] > spans[:, 1]).any() or (spans[1:, 0] <= spans[:-1, 1]).any():
        raise ArgumentError(
            "shots: expected (first, last frame) of at least one, in time order and apart"
        )
    return np.stack([spans[:-1, 1], spans[1:, 0]], axis=1)


def overlapping_transitions(
    predicted: ArrayLike, truth: ArrayLike, *, tolerance_frames: int = 2
) -> BoundaryCounts:
    """Transitions that overlap, one to one, in time order.

    Each transition is the span from its last old to its first new frame, moved in by half a
    frame and then out by half the tolerance on either side: at 2, a hard cut from k to k + 1
    covers [k − 0.5, k + 1.5]. Spans that share a point match, the earliest free ones first.

    Args:
        predicted, truth: (V, 2) transitions in time order; may be empty.
        tolerance_frames: of both together.

    Source: Baraldi et al., "Shot and scene detection via hierarchical clustering for re-using
    broadcast videos" (CAIP 2015); its use in Souček and Lokoč, "TransNet V2" (2020).

    >>> overlapping_transitions([[4, 5], [30, 31]], [[5, 6]])
    BoundaryCounts(matched=1, false_positives=1, missed=0)
    """
    at_least("tolerance_frames", tolerance_frames, 0)
    ours, theirs = _transitions("predicted", predicted), _transitions("truth", truth)
    # Twice the frame numbers, so that everything stays whole.
    widening = tolerance_frames - 1
    left, right = 2 * ours[:, 0] - widening, 2 * ours[:, 1] + widening
    true_left, true_right = 2 * theirs[:, 0] - widening, 2 * theirs[:, 1] + widening
    first = np.searchsorted(true_right, left, side="left")
    end = np.searchsorted(true_left, right, side="right")
    possible = first < end
    matched, free = 0, 0
    for begin, stop in zip(first[possible].tolist(), end[possible].tolist(), strict=True):
        place = max(begin, free)
        if place < stop:
            matched, free = matched + 1, place + 1
    return BoundaryCounts(matched, len(ours) - matched, len(theirs) - matched)


class CutMatches(NamedTuple):
    """Hard cuts one to one.

    Attributes:
        counts: of matched, false and missed cuts.
        distance_frames: sum of |predicted − true| over the matched ones.
    """

    counts: BoundaryCounts
    distance_frames: int


def nearest_cuts(
    predicted: ArrayLike, truth: ArrayLike, *, tolerance_frames: int = 0
) -> CutMatches:
    """Cuts one to one, the nearest pairs first.

    Every pair not further apart than the tolerance is a candidate. They are gone through by
    distance, then by the order of the predicted and of the true cuts as given, and taken if
    both are free. This is greedy: another choice can match more.

    Args:
        predicted, truth: frame numbers in any order; each repetition counts for itself.

    Source: Smeaton, Over and Doherty, "Video shot boundary detection: Seven years of TRECVid
    activity" (2010); the greedy order is PySceneDetect's.

    >>> nearest_cuts([10, 12, 40], [11, 12], tolerance_frames=1)
    CutMatches(counts=BoundaryCounts(matched=2, false_positives=1, missed=0), distance_frames=1)
    """
    at_least("tolerance_frames", tolerance_frames, 0)
    ours = index_array("predicted", predicted, (None,))
    theirs = index_array("truth", truth, (None,))
    order = np.argsort(theirs, kind="stable")
    ranked = theirs[order]
    begin = np.searchsorted(ranked, ours - tolerance_frames, side="left")
    stop = np.searchsorted(ranked, ours + tolerance_frames, side="right")
    near = stop - begin
    number = np.repeat(np.arange(len(ours)), near)
    # Candidates of a cut lie side by side in `ranked`: its first one, and how far on from it.
    further = np.arange(len(number)) - np.repeat(np.cumsum(near) - near, near)
    partner = order[np.repeat(begin, near) + further]
    distance = np.abs(ours[number] - theirs[partner])
    ranking = np.lexsort((partner, number, distance))
    matched, total = _take_free(number[ranking], partner[ranking], distance[ranking])
    counts = BoundaryCounts(matched, len(ours) - matched, len(theirs) - matched)
    return CutMatches(counts, total)


def cuts_in_spans(
    predicted: ArrayLike, spans: ArrayLike
) -> tuple[BoundaryCounts, NDArray[np.bool_]]:
    """Gradual transitions, found by a cut that lies inside.

    A cut belongs to the first span that holds it, in the order given; the first cut in a span
    is the match and every further one false. Of spans that are given twice, one can be found.

    Args:
        predicted: (P,) frame numbers in any order.
        spans: (S, 2) first and last frame, both inside.

    Returns:
        The counts, and (P,) whether each cut lies in a span at all: those that do not are for
        `nearest_cuts`.

    >>> cuts_in_spans([5, 6, 20], [[4, 8]])[0]
    BoundaryCounts(matched=1, false_positives=1, missed=0)
    """
    cuts = index_array("predicted", predicted, (None,))
    limits = index_array("spans", np.reshape(np.asarray(spans), (-1, 2)), (None, 2))
    if not len(limits) or not len(cuts):
        return BoundaryCounts(0, 0, len(limits)), np.zeros(len(cuts), dtype=bool)
    holds = (limits[:, 0] <= cuts[:, None]) & (cuts[:, None] <= limits[:, 1])
    inside = np.asarray(holds.any(axis=1))
    holders = limits[holds[inside].argmax(axis=1)]
    found = len(np.unique(holders, axis=0)) if len(holders) else 0
    return BoundaryCounts(found, int(inside.sum()) - found, len(limits) - found), inside


def _take_free(first: IntArray, second: IntArray, distance: IntArray) -> tuple[int, int]:
    used: set[int] = set()
    taken: set[int] = set()
    total = 0
    for ours, theirs, apart in zip(first.tolist(), second.tolist(), distance.tolist(), strict=True):
        if ours not in used and theirs not in taken:
            used.add(ours)
            taken.add(theirs)
            total += apart
    return len(used), total


def _transitions(name: str, transitions: ArrayLike) -> IntArray:
    array = np.asarray(transitions)
    pairs = index_array(name, array.reshape(-1, 2) if array.size == 0 else array, (None, 2))
    if (pairs[:, 0] >= pairs[:, 1]).any() or (np.diff(pairs, axis=0) < 0).any():
        raise ArgumentError(f"{name}: expected (last old, first new frame) in time order")
    return pairs
