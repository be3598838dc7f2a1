"""Means over a fixed number of cells, whatever the size, as a matrix: deterministic everywhere."""

from __future__ import annotations

import torch
from torch import Tensor


def cell_means(size: int, cells: int, like: Tensor) -> Tensor:
    """(cells, size), such that `cell_means(size, cells, x) @ x` averages x over each cell.

    Cell i covers the positions from ⌊i · size / cells⌋ up to, not including,
    ⌈(i + 1) · size / cells⌉, as in adaptive average pooling: cells overlap where the size is no
    multiple, and repeat positions where there are more cells than positions.

    Args:
        size: positions.
        cells: how many rows.
        like: a tensor with the device and dtype wanted.
    """
    cell = torch.arange(cells, device=like.device)
    start = cell * size // cells
    stop = ((cell + 1) * size + cells - 1) // cells
    position = torch.arange(size, device=like.device)
    inside = (position >= start[:, None]) & (position < stop[:, None])
    return inside.to(like.dtype) / (stop - start)[:, None]
