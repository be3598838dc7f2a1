"""Which parts of a film make its summary: the knapsack over parts of shots, by their mean scores.

Source: the budget and the knapsack over segments of Gygli et al., "Creating Summaries from User
Videos" (ECCV 2014), with means of frame scores as in Zhang et al., "Video Summarization with Long
Short-term Memory" (ECCV 2016). That shots are divided into parts, and that very short parts count
for less, is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, IntArray, finite_array, index_array
from vidattn.errors import ArgumentError
from vidattn.selection.knapsack import knapsack

LONGEST_PART_SECONDS = 5.0
SHORTEST_PART_SECONDS = 1.0
# Cells of the knapsack's table, a byte each.
_MOST_CELLS = 5e7


def shot_parts(bounds: ArrayLike, ends_seconds: ArrayLike, longest_seconds: float) -> IntArray:
    """Shots, divided into equal parts where they are longer than a part may be.

    Args:
        bounds: (S, 2) first frame of each shot, and the frame after its last one.
        ends_seconds: (T + 1,), when each frame begins, and when the last one ends; not decreasing.
        longest_seconds: above 0; a part of a single frame may be longer.

    Returns:
        (P, 3): shot from 0, first frame, frame after the last one; in time order.

    >>> shot_parts([[0, 4], [4, 5]], [0, 1, 2, 3, 4, 5], 2).tolist()
    [[0, 0, 2], [0, 2, 4], [1, 4, 5]]
    """
    spans = index_array("bounds", bounds, (None, 2))
    edges = finite_array("ends_seconds", ends_seconds, (None,))
    if not 0 < longest_seconds < math.inf:
        raise ArgumentError(f"longest_seconds: expected seconds above 0, got {longest_seconds}")
    rows = [
        (shot, start, end)
        for shot, (first, behind) in enumerate(spans.tolist())
        for start, end in _divided(first, behind, edges, longest_seconds)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _divided(
    first: int, behind: int, edges: FloatArray, longest_seconds: float
) -> Iterator[tuple[int, int]]:
    length = edges[behind] - edges[first]
    # Times are rounded to the clock of the file.
    count = max(math.ceil(length / longest_seconds - 1e-4), 1)
    borders = edges[first] + length * np.arange(1, count) / count
    inner = np.searchsorted(edges[first:behind], borders - 1e-6) + first
    cuts = np.unique(np.concatenate([[first], inner, [behind]]))
    yield from zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)


def choose_parts(scores: ArrayLike, lengths_seconds: ArrayLike, budget_seconds: float) -> IntArray:
    """The parts of the highest total score that fit into a budget; never more than fit.

    A part counts with its mean score, as in the usual evaluation of summaries; one that is shorter
    than a second in proportion to its length, so that the summary is not made of flashes.

    Args:
        scores: (P,) mean score of each part, at least 0.
        lengths_seconds: (P,) above 0.
        budget_seconds: at least 0.

    Returns:
        Increasing numbers of the parts; none where not even the shortest fits.

    >>> choose_parts([1, 3, 2], [2, 2, 2], 4).tolist()
    [1, 2]
    """
    lengths = finite_array("lengths_seconds", lengths_seconds, (None,))
    values = finite_array("scores", scores, (len(lengths),), minimum=0)
    if len(lengths) and lengths.min() <= 0:
        raise ArgumentError("lengths_seconds: expected lengths above 0")
    if not 0 <= budget_seconds < math.inf:
        raise ArgumentError(f"budget_seconds: expected at least 0, got {budget_seconds}")
    if lengths.sum() <= budget_seconds * (1 + 1e-9):
        return np.arange(len(lengths))
    # Lengths are rounded up to whole units: finer than a millisecond is of no use, and the table
    # must fit into memory.
    unit = max(1e-3, budget_seconds * len(lengths) / _MOST_CELLS)
    sizes = np.maximum(np.ceil(lengths / unit - 1e-6), 1).astype(np.int64)
    shares = np.minimum(lengths / SHORTEST_PART_SECONDS, 1)
    # A part that scores nothing is still better than an empty place.
    worth = (values + 1e-9) * shares
    return knapsack(worth, sizes, int(budget_seconds / unit + 1e-6))


def spread_parts(lengths_seconds: ArrayLike, budget_seconds: float) -> IntArray:
    """As many evenly spread parts as fit into a budget, whatever they show.

    Args:
        lengths_seconds: (P,) above 0.
        budget_seconds: at least 0.

    >>> spread_parts([2, 2, 2, 2, 2, 2], 4.5).tolist()
    [1, 4]
    """
    lengths = finite_array("lengths_seconds", lengths_seconds, (None,))
    for count in range(len(lengths), 0, -1):
        chosen = (np.arange(count) + 0.5) * len(lengths) / count
        if lengths[numbers := chosen.astype(np.int64)].sum() <= budget_seconds * (1 + 1e-9):
            return numbers
    return np.empty(0, np.int64)
