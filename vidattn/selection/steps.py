"""From frame to frame: how far apart they are, which are flashes, and which steps are cuts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import IntArray

Cells = NDArray[np.float32]

# Blocks of this many cells may move by this many.
BLOCK, _MOVES = 8, 2
# A step is compared with so many before it and behind it.
_AROUND = 4
# How much larger it is than those on the calmer side, and than those on the other side.
_CALM_RATIO, _BUSY_RATIO = 2.3, 1.3
# The same for steps of pictures that may not move, which motion makes alike: a first look.
_NEAR_RATIO = 1.3
# Grey levels: the smallest step of a cut, and what is added to steps that are compared with.
LEAST_STEP, _FLOOR = 6.0, 0.5
# What is left of a cut's step between frames further apart.
_LASTING = 0.6
# A flash is so long at most; its edges are steps of so many grey levels at least. The frames around
# it differ by less than a third of these.
_FLASH_FRAMES, _FLASH_STEP, _FLASH_REST = 3, 8.0, 0.35
# Pairs of frames that are compared at once.
_COMPARED_AT_ONCE = 64


class Steps:
    """The steps from each frame to the next.

    Args:
        cells: (T, H, W, 3), T ≥ 1, means in grey levels; H and W are multiples of `BLOCK`.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._plain = np.zeros(len(cells), np.float32)
        self._plain[1:] = np.abs(cells[1:] - cells[:-1]).mean(axis=(1, 2, 3))

    @cached_property
    def _flashes(self) -> tuple[NDArray[np.bool_], dict[int, float]]:
        """Which frames belong to flashes; for the frame behind each, its step across the flash."""
        inside = np.zeros(len(self._cells), np.bool_)
        across: dict[int, float] = {}
        for (start, end), rest in self._possible_flashes():
            if not inside[start] and rest < _FLASH_REST * self._plain[[start, end]].min():
                inside[start:end] = True
                across[end] = rest
        return inside, across

    def _possible_flashes(self) -> Iterator[tuple[tuple[int, int], float]]:
        """(first frame of a flash, frame behind it) in order, and the step across it."""
        pairs = [
            (start, end)
            for start in np.flatnonzero(self._plain > _FLASH_STEP).tolist()
            for end in range(start + 1, min(start + _FLASH_FRAMES + 1, len(self._plain)))
            if self._plain[[start, end]].min() >= self._plain[[start, end]].max() / 2
        ]
        for place in range(0, len(pairs), _COMPARED_AT_ONCE):
            few = pairs[place : place + _COMPARED_AT_ONCE]
            starts, ends = np.array(few).T
            rests = block_distances(self._cells[starts - 1], self._cells[ends])
            yield from zip(few, rests.tolist(), strict=True)

    def without_flashes(self) -> Cells:
        """The cells, where flashes are replaced by the frame before them."""
        inside, _ = self._flashes
        if not inside.any():
            return self._cells
        places = np.where(inside, 0, np.arange(len(inside)))
        return self._cells[np.maximum.accumulate(places)]

    def cuts(self) -> IntArray:
        """The first frames of shots that begin with a cut, increasing."""
        steps = self._without_flash_edges(self._plain)
        before, behind = _largest_around(steps)
        near = steps > _NEAR_RATIO * (np.minimum(before, behind) + _FLOOR)
        numbers = np.flatnonzero(near & (steps > LEAST_STEP))
        looked_at = np.zeros(len(steps), np.bool_)
        for offset in range(-_AROUND, _AROUND + 1):
            looked_at[(numbers + offset).clip(1, len(steps) - 1)] = True
        moved = np.flatnonzero(looked_at)
        steps = self._plain.copy()
        steps[moved] = block_distances(self._cells[moved], self._cells[moved - 1])
        steps = self._without_flash_edges(steps)
        before, behind = _largest_around(steps)
        calm, busy = np.minimum(before, behind), np.maximum(before, behind)
        large = (
            (steps > LEAST_STEP)
            & (steps > _CALM_RATIO * (calm + _FLOOR))
            & (steps > _BUSY_RATIO * (busy + _FLOOR))
        )
        found = np.flatnonzero(large & looked_at)
        return found[self._last(found, steps[found])]

    def _without_flash_edges(self, steps: NDArray[np.float32]) -> NDArray[np.float32]:
        inside, across = self._flashes
        steps = np.where(inside, np.float32(0), steps)
        steps[list(across)] = list(across.values())
        return steps

    def _last(self, cuts: IntArray, steps: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether frames further before and behind each cut differ too."""
        lasting = np.ones(len(cuts), np.bool_)
        for apart in range(1, _AROUND + 1):
            old = (cuts - 1 - apart).clip(0)
            new = (cuts + apart).clip(max=len(self._cells) - 1)
            distances = block_distances(self._cells[old], self._cells[new])
            lasting &= distances > _LASTING * steps
        return lasting


def block_distances(cells: Cells, others: Cells) -> NDArray[np.float32]:
    """How far pictures are apart if each block may lie a little elsewhere in the other.

    Args:
        cells, others: (T, H, W, 3) each.

    Returns:
        (T,): mean over the blocks of the smallest mean absolute difference.
    """
    count, height, width, _ = cells.shape
    reach = 2 * _MOVES + 1
    padded = np.pad(others, ((0, 0), (_MOVES, _MOVES), (_MOVES, _MOVES), (0, 0)), mode="edge")
    smallest = np.full((count, height // BLOCK, width // BLOCK), np.inf, np.float32)
    differences, ones = np.empty_like(cells), np.ones(3 * BLOCK, np.float32)
    for down in range(reach):
        for right in range(reach):
            moved = padded[:, down : down + height, right : right + width]
            np.abs(np.subtract(cells, moved, out=differences), out=differences)
            # A product with ones: NumPy's own sums over short axes take three times as long.
            rows = differences.reshape(-1, 3 * BLOCK) @ ones
            sums = rows.reshape(count, height // BLOCK, BLOCK, width // BLOCK).sum(axis=2)
            np.minimum(smallest, sums, out=smallest)
    means: NDArray[np.float32] = smallest.mean(axis=(1, 2)) / np.float32(3 * BLOCK**2)
    return means


def _largest_around(steps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(T,) each: the largest of the few steps before each one, and behind it."""
    padded = np.pad(steps, _AROUND)
    count = len(steps)
    before = [padded[_AROUND - n : _AROUND - n + count] for n in range(1, _AROUND + 1)]
    behind = [padded[_AROUND + n : _AROUND + n + count] for n in range(1, _AROUND + 1)]
    return np.max(before, axis=0), np.max(behind, axis=0)
