"""Frame labels against frame labels: how much of a video, and which of its segments, are right.

A *segment* is a longest run of frames of one label. Labels are whole numbers; segments of the
background, where there is one, are left out of everything but the accuracy of frames.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, IntArray, index_array
from vidattn.errors import ArgumentError


class SegmentCounts(NamedTuple):
    """What became of the segments of one or more videos.

    Attributes:
        true_positives: predicted segments that found a true one.
        false_positives: predicted segments that found none, or one that was found before.
        false_negatives: true segments that were not found.
    """

    true_positives: int
    false_positives: int
    false_negatives: int


def frame_accuracy(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Share of the frames whose label is right, background included.

    Args:
        predicted, truth: (T,) labels, T ≥ 1.

    >>> frame_accuracy([1, 1, 2, 2], [1, 1, 1, 2])
    0.75
    """
    true, given = _labels("truth", truth), _labels("predicted", predicted)
    if len(given) != len(true):
        raise ArgumentError(
            f"predicted: expected {len(true)} labels, as in truth, got {len(given)}"
        )
    return float((given == true).mean())


def segments(
    labels: ArrayLike, background: Collection[int] = ()
) -> tuple[IntArray, IntArray, IntArray]:
    """Label, first frame and end (exclusive) of every segment that is no background.

    >>> [found.tolist() for found in segments([4, 4, 0, 5], background=[0])]
    [[4, 5], [0, 3], [2, 4]]
    """
    values = _labels("labels", labels)
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(values))
    names = values[starts]
    kept = np.ones(len(names), dtype=bool)
    for label in background:
        kept &= names != label
    return names[kept], starts[kept], ends[kept]


def edit_score(predicted: ArrayLike, truth: ArrayLike, background: Collection[int] = ()) -> float:
    """1 − (edit distance of the two orders of segments) / (segments of the longer one).

    How long segments are does not matter, how many there are does. Two videos without segments
    agree: 1.

    Args:
        predicted, truth: labels, one a frame, at least one; their numbers may differ.

    Returns:
        In [0, 1].

    Source: Lea et al., "Learning Convolutional Action Primitives for Fine-grained Action
    Recognition" (ICRA 2016), section IV.

    >>> edit_score([1, 1, 2, 3], [1, 3, 3, 3])
    0.6666666666666667
    """
    ours, theirs = segments(predicted, background)[0], segments(truth, background)[0]
    longest = max(len(ours), len(theirs))
    return 1 - edit_distance(ours.tolist(), theirs.tolist()) / longest if longest else 1.0


def edit_distance(first: list[int], second: list[int]) -> int:
    """Fewest insertions, deletions and replacements that turn one list into the other.

    The differences down a column of the usual table are two bit sets, held in two Python
    integers, so that a column costs a few operations whatever its length.

    Source: Hyyrö, "Explaining and Extending the Bit-parallel Approximate String Matching
    Algorithm of Myers" (2001), section 4.

    >>> edit_distance([1, 2, 3, 4], [2, 3, 5])
    2
    """
    length = len(first)
    if not length:
        return len(second)
    every = (1 << length) - 1
    places: dict[int, int] = {}
    for position, label in enumerate(first):
        places[label] = places.get(label, 0) | 1 << position
    up, down, distance = every, 0, length
    for label in second:
        same = places.get(label, 0)
        diagonal = ((((same & up) + up) ^ up) | same | down) & every
        right_up = down | (~(diagonal | up) & every)
        right_down = diagonal & up
        distance += (right_up >> (length - 1) & 1) - (right_down >> (length - 1) & 1)
        right_up = (right_up << 1 | 1) & every
        right_down = right_down << 1 & every
        up = right_down | (~(diagonal | right_up) & every)
        down = right_up & diagonal
    return distance


def segment_counts(
    predicted: ArrayLike,
    truth: ArrayLike,
    overlaps: ArrayLike = (0.1, 0.25, 0.5),
    background: Collection[int] = (),
) -> list[SegmentCounts]:
    """Which segments were found, for each least overlap.

    A predicted segment goes to the true segment of its label with the highest intersection
    over union, the earliest of equals. If that is at least the overlap and no earlier
    predicted segment found it, it is a true positive; else a false one, even if another true
    segment would have been free.

    Args:
        predicted, truth: labels, one a frame, at least one; their numbers may differ.
        overlaps: each in (0, 1].

    Source: Lea et al., "Temporal Convolutional Networks for Action Segmentation and Detection"
    (CVPR 2017), section 4.1.

    >>> segment_counts([1, 1, 1, 2], [1, 1, 2, 2], [0.5, 0.6])[1]
    SegmentCounts(true_positives=1, false_positives=1, false_negatives=1)
    """
    levels = np.atleast_1d(np.asarray(overlaps, dtype=np.float64))
    if not ((levels > 0) & (levels <= 1)).all():
        raise ArgumentError(f"overlaps: expected numbers in (0, 1], got {levels.tolist()}")
    ours, theirs = segments(predicted, background), segments(truth, background)
    if not len(ours[0]) or not len(theirs[0]):
        return [SegmentCounts(0, len(ours[0]), len(theirs[0]))] * len(levels)
    shares = _label_overlaps(ours, theirs)
    best = shares.argmax(axis=1)
    reached = shares[np.arange(len(best)), best]
    found = [len(set(best[reached >= level].tolist())) for level in levels]
    return [SegmentCounts(hit, len(ours[0]) - hit, len(theirs[0]) - hit) for hit in found]


def segment_f1(counts: SegmentCounts) -> float:
    """2 · precision · recall / (precision + recall); 0 where nothing was found.

    >>> segment_f1(SegmentCounts(1, 1, 0))
    0.6666666666666666
    """
    hit, wrong, missed = counts
    if not hit:
        return 0.0
    precision, recall = hit / (hit + wrong), hit / (hit + missed)
    return 2 * (precision * recall) / (precision + recall)


def _label_overlaps(
    ours: tuple[IntArray, IntArray, IntArray], theirs: tuple[IntArray, IntArray, IntArray]
) -> FloatArray:
    """Intersection over union of every pair of one label; 0 or less for all others."""
    names, starts, ends = (array[:, None] for array in ours)
    true_names, true_starts, true_ends = theirs
    shared = np.minimum(ends, true_ends) - np.maximum(starts, true_starts)
    union = np.maximum(ends, true_ends) - np.minimum(starts, true_starts)
    return shared / union * (names == true_names)


def _labels(name: str, labels: ArrayLike) -> IntArray:
    values = index_array(name, labels, (None,))
    if not len(values):
        raise ArgumentError(f"{name}: expected at least one label, got none")
    return values
