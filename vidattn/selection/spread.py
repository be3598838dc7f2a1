"""Frames drawn from scores by inverse-transform sampling, spread as evenly as one likes.

The highest scores often lie side by side, so that the best frames show one moment. Here every frame
gets a weight instead, and frames are taken at equal steps of the running sum of the weights: often
where scores are high, seldom where they are low.

Sources: MGSampler (Zhi et al., ICCV 2021, https://arxiv.org/abs/2104.09952), Uni-AdaFocus (Wang et
al., 2024, https://arxiv.org/abs/2412.11228) and BOLT (Liu et al., CVPR 2025,
https://arxiv.org/abs/2503.21483) choose frames so. They may repeat a frame that has more than its
step of the sum. Here its weight is limited to one step and the rest goes to the others, as in
systematic sampling with probabilities proportional to size (Madow 1949,
https://doi.org/10.1214/aoms/1177729988), so no frame is taken twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, IntArray, at_least, finite_array
from vidattn.errors import ArgumentError
from vidattn.selection.gaps import Gaps


def spread(
    scores: ArrayLike,
    count: int,
    uniformity: float = 0.0,
    *,
    minimum_gap: float = 0,
    positions: ArrayLike | None = None,
) -> IntArray:
    """Take `count` different frames, the more densely the higher the scores are.

    The weight of a frame is (1 − u) · p + u / T: p is its score minus the lowest score, divided by
    the sum of these. With u = 1, or if all scores are equal, the result is `uniform_frames`. With
    u = 0, frames with the lowest score are taken only if there are too few others.

    Args:
        scores: (T,), any finite numbers; higher is better.
        count: at least 1.
        uniformity: u, in [0, 1].
        minimum_gap: smallest distance between two frames, in the units of `positions`. Frames that
            are closer move apart, as little as possible in the sum of the squares of their moves.
            If evenly spread frames are closer than this, their smallest distance is the gap.
        positions: (T,), not decreasing: where each frame lies, such as its seconds; None to count
            frames. The weight of a frame is multiplied by the distance to the next one.

    Returns:
        (min(count, T),) indices, increasing.

    Raises:
        ArgumentError: a score is NaN or infinite, or a number is out of range.

    >>> spread([0, 0, 0, 9, 9, 9], 3), spread([0, 0, 0, 9, 9, 9], 3, 1.0)
    (array([3, 4, 5]), array([1, 3, 5]))
    """
    values = finite_array("scores", scores, (None,))
    if not 0 <= uniformity <= 1:
        raise ArgumentError(f"uniformity: expected a number from 0 to 1, got {uniformity}")
    gaps = Gaps(len(values), minimum_gap, positions)
    wanted = at_least("count", count, 1)
    if wanted >= len(values):
        return np.arange(len(values), dtype=np.int64)
    even = _shares(np.ones(len(values)), _lengths(gaps.positions))
    by_score = _shares(_above_lowest(values), _lengths(gaps.positions))
    chosen = _sampled(even + (1 - uniformity) * (by_score - even), wanted)
    gap = min(
        minimum_gap, float(np.diff(gaps.positions[_sampled(even, wanted)]).min(initial=np.inf))
    )
    if not gaps.in_frames:
        gap *= 1 - 1e-9  # sums of seconds are rounded
    return _moved_apart(gaps.positions, chosen, gap)


def _lengths(positions: FloatArray) -> FloatArray:
    """How far the next frame is from each; of the last one, the mean."""
    steps = np.diff(positions)
    if not steps.any():
        return np.ones(len(positions))
    return np.append(steps, steps.mean())


def _above_lowest(values: FloatArray) -> FloatArray:
    """Scores in [0, 1], the lowest 0; all 1 if they are equal."""
    scaled = values / (np.abs(values).max() or 1.0)  # differences of huge numbers overflow
    above: FloatArray = scaled - scaled.min()
    return above / above.max() if above.any() else np.ones(len(values))


def _shares(values: FloatArray, lengths: FloatArray) -> FloatArray:
    """Weights with the mean 1."""
    weights = values * lengths
    total = weights.sum()
    shares: FloatArray = weights * (len(weights) / total) if total > 0 else np.ones(len(weights))
    return shares


def _sampled(weights: FloatArray, count: int) -> IntArray:
    """Frames at the middles of equal steps of the weights' running sum, `count` of them, below T.

    A frame that has a whole step or more is certain. It takes one step, so that the others are
    found as if it were not there. Equal weights are summed without rounding: then the result is
    exactly that of `uniform_frames`.
    """
    certain = _certain(weights, count)
    others = np.flatnonzero(~certain)
    missing = count - int(certain.sum())
    rest = weights[others] if weights[others].any() else np.ones(len(others))
    sums = np.cumsum(rest)
    order = np.arange(missing)
    places = np.searchsorted(sums, (2 * order + 1) * sums[-1] / (2 * max(missing, 1)), side="right")
    # Rounding may put two steps into one frame whose weight is exactly one step.
    places = np.maximum.accumulate(places - order) + order
    return np.sort(np.append(np.flatnonzero(certain), others[places])).astype(np.int64)


def _certain(weights: FloatArray, count: int) -> NDArray[np.bool_]:
    """Frames that have more than one of `count` equal steps, or are all that have any weight."""
    order = np.argsort(-weights, kind="stable")
    largest = weights[order]
    rests = np.cumsum(largest[::-1])[::-1][:count]  # the sum without the largest 0, 1, 2, …
    number = int(np.argmax(rests / np.arange(count, 0, -1) >= largest[:count]))
    certain = np.zeros(len(weights), np.bool_)
    certain[order[:number]] = True
    return certain


def _moved_apart(positions: FloatArray, chosen: IntArray, gap: float) -> IntArray:
    """Frames that keep a gap, near those that were chosen; some choice that keeps it exists.

    Positions minus what the gaps before them take may not decrease: least squares make them so
    (isotonic regression). Rounding to frames keeps the least squares (Goldstein and Kruskal 1976,
    https://doi.org/10.1080/01621459.1976.10480373).
    """
    own = positions[chosen]
    if (np.diff(own) >= gap).all():
        return chosen
    taken = gap * np.arange(len(chosen))
    free = _not_decreasing(own - taken).clip(positions[0], positions[-1] - taken[-1])
    borders = (positions[1:] + positions[:-1]) / 2
    nearest = np.searchsorted(borders, free + taken, side="right").tolist()
    latest = [len(positions) - 1]
    while len(latest) < len(chosen):
        bound = positions[latest[-1]] - gap
        latest.append(int(np.searchsorted(positions, bound, side="right")) - 1)
    moved: list[int] = []
    first = 0
    for near, last in zip(nearest, reversed(latest), strict=True):
        moved.append(min(max(near, first), last))
        first = int(np.searchsorted(positions, positions[moved[-1]] + gap, side="left"))
    return np.array(moved, dtype=np.int64)


def _not_decreasing(values: FloatArray) -> FloatArray:
    """The nearest numbers, by least squares, that do not decrease: neighbours are averaged."""
    sums: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        total, count = value, 1
        while sums and sums[-1] / counts[-1] > total / count:
            total, count = total + sums.pop(), count + counts.pop()
        sums.append(total)
        counts.append(count)
    return np.repeat(np.array(sums) / np.array(counts), counts)
