"""What each position axis looks like by itself, for gates that judge one axis at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import mul

import torch
from torch import Tensor

from vidattn.attention.masking import zero_padding


def axis_means(x: Tensor, mask: Tensor | None) -> list[Tensor]:
    """(N, C, *positions) -> for each axis (N, C, its size): means over all the other axes.

    Means are over real positions, 0 where there are none, and computed in float32 at least.
    """
    sums = _axis_sums(zero_padding(x, mask))
    if mask is None:
        counts = [prod(x.shape[2:]) // size for size in x.shape[2:]]
        return [(one / count).to(x.dtype) for one, count in zip(sums, counts, strict=True)]
    kept = _axis_sums(mask.expand(x.shape[0], 1, *x.shape[2:]).float())
    return [(one / count.clamp(min=1)).to(x.dtype) for one, count in zip(sums, kept, strict=True)]


def axis_maxima(x: Tensor, mask: Tensor | None) -> list[Tensor]:
    """(N, C, *positions) -> for each axis (N, C, its size): maxima over all the other axes.

    Of two axes or three. Where no position is real the lowest finite number.
    """
    if mask is not None:
        x = x.masked_fill(~mask, torch.finfo(x.dtype).min)
    columns, rows = x.amax(tuple(range(2, x.ndim - 1))), x.amax(x.ndim - 1)
    return [rows, columns] if x.ndim == 4 else [rows.amax(3), rows.amax(2), columns]


def axis_masks(x: Tensor, mask: Tensor | None) -> list[Tensor | None]:
    """For each position axis of x (N, 1, its size): whether any position there is real."""
    if mask is None:
        return [None] * (x.ndim - 2)
    return [sums > 0 for sums in _axis_sums(mask.expand(x.shape[0], 1, *x.shape[2:]).float())]


def along(values: Tensor, axis: int, ndim: int) -> Tensor:
    """(N, M, size of a position axis) -> `ndim` axes, the positions all 1 but for that one."""
    shape = [1] * (ndim - 2)
    shape[axis] = values.shape[2]
    return values.reshape(*values.shape[:2], *shape)


def product(parts: Sequence[Tensor], ndim: int) -> Tensor:
    """For each axis (N, M, its size) -> (N, M, *sizes): every product of one number of each."""
    return reduce(mul, (along(part, axis, ndim) for axis, part in enumerate(parts)))


def _axis_sums(x: Tensor) -> list[Tensor]:
    dtype = torch.promote_types(x.dtype, torch.float32)
    if x.ndim == 3:
        return [x.to(dtype)]
    columns = x.sum(tuple(range(2, x.ndim - 1)), dtype=dtype)
    rows = x.sum(x.ndim - 1, dtype=dtype)
    # The rows are small: the first two axes of a clip need not read the whole of x again.
    return [rows, columns] if x.ndim == 4 else [rows.sum(3), rows.sum(2), columns]
