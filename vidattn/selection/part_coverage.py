"""Which parts of a film together stand best for it, within a budget of seconds.

A part stands for a frame as well as its best frame does. Parts are added one by one, always the one
that adds most for each second, as long as one fits.

Source: the cost-benefit greedy for a submodular objective under a knapsack of Lin and Bilmes,
"Multi-document Summarization via Budgeted Maximization of Submodular Functions" (NAACL 2010). The
objective is that of `vidattn.selection.coverage`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, IntArray, finite_array, index_array
from vidattn.errors import ArgumentError
from vidattn.selection.coverage import representation
from vidattn.selection.gaps import Gaps
from vidattn.selection.sketch import Sketch
from vidattn.selection.summaries import SHORTEST_PART_SECONDS

# Rounding of sums of lengths.
_TINY = 1e-9


def cover_by_parts(
    sketch: Sketch,
    parts: ArrayLike,
    lengths_seconds: ArrayLike,
    budget_seconds: float,
    *,
    positions: ArrayLike | None = None,
) -> tuple[IntArray, FloatArray]:
    """Parts that stand for as much of a film as a budget allows; never more than fit.

    Of parts that add equally much, the earliest is taken. A part that is shorter than a second
    costs a second, so that the summary is not made of flashes.

    Args:
        sketch: of the whole film.
        parts: (P, 2) first frame of each part, and the frame after its last one; in time order.
        lengths_seconds: (P,) above 0.
        budget_seconds: at least 0.
        positions: (T,), not decreasing: where each frame of the film lies, such as its seconds;
            None to count frames.

    Returns:
        Increasing numbers of the parts, none where not even the shortest fits; and for each the
        share of the film, in [0, 1], that it stands for and no part taken before it.
    """
    spans = index_array("parts", parts, (None, 2))
    lengths = finite_array("lengths_seconds", lengths_seconds, (len(spans),))
    if len(lengths) and lengths.min() <= 0:
        raise ArgumentError("lengths_seconds: expected lengths above 0")
    gaps = Gaps(sketch.frame_count, 0, positions)
    stands = _of_parts(representation(sketch, gaps), sketch.indices, spans)
    costs = np.maximum(lengths, SHORTEST_PART_SECONDS)
    middles = gaps.positions[(spans[:, 0] + spans[:, 1] - 1) // 2]
    covered = np.zeros(len(stands), np.float32)
    # Gains only fall while parts are added: what they were is the most they can be.
    gains = np.full(len(spans), np.inf)
    taken: dict[int, float] = {}
    left = budget_seconds * (1 + _TINY)
    while True:
        free = lengths <= left
        free[list(taken)] = False
        if not free.any():
            break
        best = _best(stands, covered, gains, costs, free)
        if gains[best] <= 0:  # nothing helps any more: spread over the time of the film
            best = _furthest(middles, list(taken), free)
        taken[best] = float(gains[best]) / len(covered)
        covered = np.maximum(covered, stands[:, best])
        left -= lengths[best]
    order = sorted(taken)
    return np.array(order, np.int64), np.array([taken[each] for each in order], np.float64)


def _best(
    stands: NDArray[np.float32],
    covered: NDArray[np.float32],
    gains: FloatArray,
    costs: FloatArray,
    free: NDArray[np.bool_],
) -> int:
    """The free part of the largest gain for its cost; gains that were looked at are brought up."""
    worth = np.where(free, gains / costs, -1)
    while True:
        best = int(np.argmax(worth))
        gain = float(np.maximum(stands[:, best] - covered, 0).sum())
        if gain >= gains[best]:
            return best
        gains[best] = gain
        worth[best] = gain / costs[best]


def _furthest(middles: FloatArray, taken: list[int], free: NDArray[np.bool_]) -> int:
    """The free part that is furthest in time from all taken ones."""
    if not taken:
        return int(np.argmax(free))
    distances = np.abs(middles[:, None] - middles[taken]).min(axis=1)
    return int(np.argmax(np.where(free, distances, -1)))


def _of_parts(
    represents: NDArray[np.float32], indices: IntArray, spans: IntArray
) -> NDArray[np.float32]:
    """(S, P): how well each part stands for each frame of the sketch, by its best frame."""
    first = np.searchsorted(indices, spans[:, 0])
    behind = np.searchsorted(indices, spans[:, 1])
    stands = np.empty((len(indices), len(spans)), np.float32)
    for number, (start, end) in enumerate(zip(first.tolist(), behind.tolist(), strict=True)):
        if start == end:  # none of its frames is in the sketch: the nearest one stands for them
            start = min(start, len(indices) - 1)
            end = start + 1
        stands[:, number] = represents[:, start:end].max(axis=1)
    return stands
