"""Which shots fit into a summary: the 0/1 knapsack, one row of its table at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import IntArray, at_least, finite_array, index_array
from vidattn.errors import ArgumentError

Arithmetic = Literal["float64", "float32", "int64"]


def knapsack(
    values: ArrayLike,
    weights: ArrayLike,
    capacity: int,
    *,
    arithmetic: Arithmetic = "float64",
) -> IntArray:
    """The items of the highest total value whose weights fit into the capacity.

    Of equally good choices it is the one that does without the later items. What counts as
    equal depends on the arithmetic of the table, so it has to be that of the convention:

    - "float64": sums are rounded to float64.
    - "float32": a sum is compared in float64 with a table that holds float32.
    - "int64": values are whole; everything is taken if everything fits, and where the items
      left over are worth nothing, the first one is taken if it fits: OR-Tools' dynamic
      programming solver does so.

    Args:
        values: (N,), finite, at least 0.
        weights: (N,) whole numbers, at least 1.
        capacity: at least 0.

    Returns:
        Increasing numbers of the chosen items.

    >>> knapsack([4, 4, 2, 2, 2, 4], [2, 2, 1, 1, 1, 2], 7).tolist()
    [0, 1, 2, 3, 4]
    """
    worth = finite_array("values", values, (None,), minimum=0)
    sizes = index_array("weights", weights, (len(worth),))
    at_least("capacity", capacity, 0)
    if len(sizes) and sizes.min() < 1:
        raise ArgumentError("weights: expected whole numbers of at least 1")
    if arithmetic not in ("float64", "float32", "int64"):
        raise ArgumentError(f"arithmetic: expected float64, float32 or int64, got {arithmetic!r}")
    if arithmetic == "int64":
        if (worth != np.floor(worth)).any():
            raise ArgumentError("values: expected whole numbers")
        if len(sizes) and sizes.sum() <= capacity:
            return np.arange(len(sizes))
    better = _improvements(worth, sizes.tolist(), capacity, arithmetic)
    chosen, left, last = [], capacity, len(sizes) - 1
    # The last item that improves what fits into `left` is in; then the same without it.
    while last >= 0 and (improving := np.flatnonzero(better[: last + 1, left])).size:
        chosen.append(int(improving[-1]))
        left -= int(sizes[chosen[-1]])
        last = chosen[-1] - 1
    if arithmetic == "int64" and last >= 0 and left > 0 and sizes[0] <= left:
        chosen.append(0)
    return np.array(chosen[::-1], dtype=np.int64)


def _improvements(
    worth: np.ndarray, sizes: list[int], capacity: int, arithmetic: Arithmetic
) -> np.ndarray:
    """(N, capacity + 1) bool: whether taking an item beats all choices of earlier items."""
    kind = np.float32 if arithmetic == "float32" else np.float64
    best = np.zeros(capacity + 1, dtype=kind)
    better = np.zeros((len(sizes), capacity + 1), dtype=bool)
    for number, (size, value) in enumerate(zip(sizes, worth, strict=True)):
        if size > capacity:
            continue
        taken = best[:-size].astype(np.float64) + value
        better[number, size:] = taken > best[size:]
        best[size:] = np.where(better[number, size:], taken, best[size:])
    return better
