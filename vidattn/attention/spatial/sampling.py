"""Where mechanisms that read at learned points have looked."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def splat(points: Tensor, weights: Tensor, height: int, width: int) -> Tensor:
    """Spread weights over the four positions around each point, as bilinear sampling reads them.

    Args:
        points: (..., P, 2), row and column in positions: (0, 0) is the centre of the first.
        weights: (..., P).
        height, width: of the result; what falls outside is dropped.

    Returns:
        (..., height, width).
    """
    total = weights.new_zeros(*weights.shape[:-1], height * width)
    corner = points.floor()
    part = (points - corner).to(weights.dtype)
    for down in (0, 1):
        for right in (0, 1):
            row, column = corner[..., 0] + down, corner[..., 1] + right
            share = (part[..., 0] if down else 1 - part[..., 0]) * (
                part[..., 1] if right else 1 - part[..., 1]
            )
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = (row * width + column).long().masked_fill(~inside, 0)
            total.scatter_add_(-1, index, (weights * share).masked_fill(~inside, 0))
    return total.unflatten(-1, (height, width))
