"""Reductions over positions that padding does not touch.

A mask is bool and broadcastable to (N, 1, *positions); None means that all positions are real.
Padding is replaced before it is reduced, never multiplied by 0: it may hold infinities.
"""

from __future__ import annotations

import torch
from torch import Tensor


def single_precision(x: Tensor) -> Tensor:
    """At least float32: what softmax and normalisers need; double stays double."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """(N, C, *positions) with zeros at padding, in the memory format of x.

    `masked_fill` would lose that.
    """
    return x if mask is None else torch.where(mask, x, 0)


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """(N, C, *positions) -> (N, C): the mean over real positions; 0 where there are none."""
    positions = tuple(range(2, x.ndim))
    if mask is None:
        return x.mean(positions)
    mask = mask.expand(x.shape[0], 1, *x.shape[2:])
    total = single_precision(zero_padding(x, mask)).sum(positions)
    return (total / mask.sum(positions).clamp(min=1)).to(x.dtype)


def masked_max(x: Tensor, mask: Tensor | None) -> Tensor:
    """(N, C, *positions) -> (N, C): the maximum over real positions; 0 where there are none."""
    positions = tuple(range(2, x.ndim))
    if mask is None:
        return x.amax(positions)
    mask = mask.expand(x.shape[0], 1, *x.shape[2:])
    largest = x.masked_fill(~mask, torch.finfo(x.dtype).min).amax(positions)
    return largest.masked_fill(~mask.any(2).flatten(1).any(1, keepdim=True), 0)


def masked_softmax(scores: Tensor, mask: Tensor | None, *, dim: int) -> Tensor:
    """Softmax over the real entries of one axis: 0 at padding, all 0 where nothing is real.

    Args:
        scores: any shape; computed in float32 at least.
        mask: bool, broadcastable to the scores.
        dim: the axis that sums to 1.
    """
    scores = single_precision(scores)
    if mask is None:
        return scores.softmax(dim)
    lowest = torch.finfo(scores.dtype).min
    # A row of equal lowest numbers gives a uniform softmax, where infinities would give NaN.
    return scores.masked_fill(~mask, lowest).softmax(dim).masked_fill(~mask, 0)
