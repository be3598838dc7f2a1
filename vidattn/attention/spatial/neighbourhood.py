from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.convolutions import kernel_sizes
from vidattn.attention.mechanism import Mixer
from vidattn.attention.spatial.blocks import Axis, Blocks
from vidattn.attention.spatial.groups import Places, attend_in_groups, show_groups
from vidattn.attention.spatial.windows import window_sizes
from vidattn.errors import ArgumentError

KERNELS = {1: (7,), 2: (7, 7), 3: (3, 7, 7)}


class NeighbourhoodAttention(Mixer):
    """Every position reads from its nearest neighbours, equally many at the borders.

    y = x + W_o [softmax(q kᵀ / √d) v] + b_o over the window of k positions on each axis around a
    query, moved where it would leave x; q, k, v are linear in LayerNorm(x), d = C / heads. Where
    x is smaller than a kernel, all of it is read. With a dilation, neighbours are that far apart:
    the positions of each remainder are a grid of their own. Trailing padding is a border like
    any other. Blocks of queries share their keys: time and memory grow with L times a few kernels
    (2 along each axis).

    Source: Hassani et al., Neighborhood Attention Transformer, CVPR 2023, without the relative
    position bias, which the authors' library dropped; dilation: Hassani and Shi, arXiv 2209.15001.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        kernel: odd sizes, one for all axes or one for each; None for 7, 7 × 7 or 3 × 7 × 7.
        heads: must divide C.
        dilation: distance between neighbours, one for all axes or one for each.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Hassani et al., Neighborhood Attention Transformer, CVPR 2023"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        kernel: int | Sequence[int] | None = None,
        heads: int = 8,
        dilation: int | Sequence[int] = 1,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.ranks = (spatial_dims,)
        default = KERNELS[spatial_dims]
        self.kernel = kernel_sizes("kernel", default if kernel is None else kernel, spatial_dims)
        self.dilation = window_sizes("dilation", dilation, (1,) * spatial_dims)
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        projected = self.query_key_value(self.norm(tokens)).unflatten(1, grid)
        blocks = self._blocks(grid, tokens.device, padded=mask is not None)
        parts = projected.chunk(3, dim=-1)
        pieces = (blocks.queries(parts[0]), blocks.keys(parts[1]), blocks.keys(parts[2]))
        # (N, G, Q, C) -> (N, G, heads, Q, d)
        query, key, value = (part.unflatten(3, (self.heads, -1)).transpose(2, 3) for part in pieces)
        query = query * query.shape[4] ** -0.5
        seen = None if mask is None else mask.unflatten(1, grid)
        allowed = self._allowed(blocks, seen).unsqueeze(2)
        if self.observer.recording:
            real = torch.ones_like(tokens[:1, :, 0], dtype=torch.bool) if mask is None else mask
            show_groups(self.observer, query, key, allowed, Places(*blocks.places(), real, grid))
        mixed = attend_in_groups(query, key, value, allowed)
        return self.output(blocks.join(mixed.transpose(2, 3).flatten(3)).flatten(1, -2))

    def _blocks(self, grid: tuple[int, ...], device: torch.device, *, padded: bool) -> Blocks:
        """Padding may move a window back by nearly its size, as the end of x does for others."""
        axes = []
        for size, kernel, step in zip(grid, self.kernel, self.dilation, strict=True):
            exact = step == 1 and not padded
            left = kernel // 2 if exact else kernel - 1
            axes.append(Axis.cut(size, kernel, left, device, inside=True, dilation=step))
        return Blocks(axes)

    def _allowed(self, blocks: Blocks, mask: Tensor | None) -> Tensor:
        """(N or 1, G, Q, K): the keys in each query's window, and itself."""
        parts, itself = [], []
        for index, (axis, kernel) in enumerate(zip(blocks.axes, self.kernel, strict=True)):
            # How many ranks there are, for each sample and block.
            extent = axis.size - axis.remainders[None]
            if mask is not None:
                extent = _extent(mask, index + 1)[:, None] - axis.remainders
            extent = (extent + axis.dilation - 1).div(axis.dilation, rounding_mode="floor")
            first = axis.query_ranks - kernel // 2
            first = first.minimum(extent[:, :, None] - kernel).clamp(min=0).unsqueeze(3)
            keys = axis.key_ranks[None, :, None]
            parts.append((keys >= first) & (keys < first + kernel))
            itself.append(keys == axis.query_ranks[None, :, :, None])
        allowed = blocks.pairs(parts)
        if mask is None and all(step == 1 for step in self.dilation):
            return allowed
        real = blocks.inside()
        if mask is not None:
            real = real & blocks.keys(mask.unsqueeze(-1))[:, :, None, :, 0]
        return (allowed & real) | blocks.pairs(itself)


def _extent(mask: Tensor, axis: int) -> Tensor:
    """(N,): one more than the last index along an axis where anything is real."""
    others = tuple(other for other in range(1, mask.ndim) if other != axis)
    kept = mask.amax(others) if others else mask
    return (kept * torch.arange(1, kept.shape[1] + 1, device=mask.device)).amax(1)
