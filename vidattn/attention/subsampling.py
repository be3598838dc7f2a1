"""Fewer keys by the maximum of small blocks of positions, and maps back from blocks to positions.

A block is `steps` positions long on each axis; what does not fill one at the end is dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def block_maximum(
    tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], steps: tuple[int, ...]
) -> Tensor:
    """(N, L, C) -> (N, blocks, C): the maximum over the real positions; 0 where none is real.

    Args:
        tokens: L positions laid out as `grid`.
        mask: bool (N, L).
        grid: the sizes whose product is L.
        steps: positions in a block, on each axis.
    """
    inner = _inner_axes(grid)
    if mask is None:
        return _in_blocks(tokens, grid, steps).amax(inner).flatten(1, -2)
    lowest = tokens.masked_fill(~mask.unsqueeze(2), torch.finfo(tokens.dtype).min)
    largest = _in_blocks(lowest, grid, steps).amax(inner).flatten(1, -2)
    return largest.masked_fill(block_count(mask, grid, steps).unsqueeze(2) == 0, 0)


def block_count(mask: Tensor, grid: tuple[int, ...], steps: tuple[int, ...]) -> Tensor:
    """Bool (N, L) -> (N, blocks): how many real positions each block has."""
    return _in_blocks(mask.unsqueeze(2), grid, steps).sum(_inner_axes(grid)).flatten(1)


def spread_over_blocks(
    values: Tensor, mask: Tensor | None, grid: tuple[int, ...], steps: tuple[int, ...]
) -> Tensor:
    """(N, blocks) -> (N, L): each block's value in equal parts to its real positions."""
    real = values.new_ones(values.shape[0], _size(grid), dtype=torch.bool) if mask is None else mask
    shares = values / block_count(real, grid, steps).clamp(min=1)
    shares = shares.unflatten(
        1, tuple(size // step for size, step in zip(grid, steps, strict=True))
    )
    for axis, (size, step) in enumerate(zip(grid, steps, strict=True), start=1):
        missing = (0, 0) * (shares.ndim - 1 - axis) + (0, size - size // step * step)
        shares = F.pad(shares.repeat_interleave(step, axis), missing)
    return shares.flatten(1) * real


def _in_blocks(tokens: Tensor, grid: tuple[int, ...], steps: tuple[int, ...]) -> Tensor:
    """(N, L, C) -> (N, blocks, inside, blocks, inside, …, C), a pair for each axis."""
    x = tokens.unflatten(1, grid)
    for axis in range(len(grid), 0, -1):
        count = grid[axis - 1] // steps[axis - 1]
        x = x.narrow(axis, 0, count * steps[axis - 1]).unflatten(axis, (count, steps[axis - 1]))
    return x


def _inner_axes(grid: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(2, 2 * len(grid) + 1, 2))


def _size(grid: tuple[int, ...]) -> int:
    total = 1
    for size in grid:
        total *= size
    return total
