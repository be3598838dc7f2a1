"""Cutting a grid into blocks of neighbouring queries, each with the keys in their reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from vidattn.attention.spatial.windows import divides


@dataclass(frozen=True, eq=False)
class Axis:
    """Blocks along one axis.

    With a dilation d, the positions of each remainder modulo d are cut by themselves: their
    indices among themselves are `query_ranks` and `key_ranks`, and their blocks come in turn.

    Attributes:
        size: positions along it.
        dilation: d.
        remainders: (blocks,), of each block.
        query_ranks: (blocks, Q); a last block that sticks out repeats the last rank.
        key_ranks: (blocks, K), which may lie outside.
        doubles: bool (blocks, Q), the queries that stand for nothing.
    """

    size: int
    dilation: int
    remainders: Tensor
    query_ranks: Tensor
    key_ranks: Tensor
    doubles: Tensor

    @staticmethod
    def cut(
        size: int, kernel: int, left: int, device: torch.device, *, inside: bool, dilation: int = 1
    ) -> Axis:
        """Blocks as large as the kernel, that see `left` ranks before them and half behind.

        Args:
            size: positions along the axis.
            kernel: odd size of a neighbourhood.
            left: how far before itself a query may have to look.
            device: of the tensors.
            inside: move the keys of the outer blocks so that none lies outside.
            dilation: distance between neighbours.
        """
        ranks = (size + dilation - 1) // dilation
        block, count = kernel, (ranks + kernel - 1) // kernel
        if ranks <= kernel:
            block, count = ranks, 1
        reach = block + left + kernel // 2
        starts = (torch.arange(count, device=device) * block).repeat(dilation)
        first = starts - left
        if inside:
            reach = min(reach, ranks)
            first = first.clamp(max=ranks - reach).clamp(min=0)
        queries = starts[:, None] + torch.arange(block, device=device)
        keys = first[:, None] + torch.arange(reach, device=device)
        remainders = torch.arange(dilation, device=device).repeat_interleave(count)
        doubles = (queries >= ranks) | (queries * dilation + remainders[:, None] >= size)
        return Axis(size, dilation, remainders, queries.clamp(max=ranks - 1), keys, doubles)

    @property
    def queries(self) -> Tensor:
        """(blocks, Q), position of each query, the last one where it stands for nothing."""
        return self._positions(self.query_ranks).clamp(max=self.size - 1)

    @property
    def keys(self) -> Tensor:
        """(blocks, K), position of each key, which may lie outside."""
        return self._positions(self.key_ranks)

    def order(self) -> Tensor:
        """(size,): where in the blocks, one after the other, each position is a query."""
        count, block = self.query_ranks.shape[0] // self.dilation, self.query_ranks.shape[1]
        position = torch.arange(self.size, device=self.remainders.device)
        rank, remainder = position // self.dilation, position % self.dilation
        return (remainder * count + rank // block) * block + rank % block

    def _positions(self, ranks: Tensor) -> Tensor:
        return ranks * self.dilation + self.remainders[:, None]


class Blocks:
    """Blocks on a whole grid; a group is one block, with Q queries and K keys.

    Args:
        axes: one for each axis of the grid.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)
        self.rank = len(self.axes)

    def queries(self, x: Tensor) -> Tensor:
        """(N, *grid, C) -> (N, groups, Q, C)."""
        return self._gather(x, [axis.queries for axis in self.axes])

    def keys(self, x: Tensor) -> Tensor:
        """(N, *grid, C) -> (N, groups, K, C); outside the grid its nearest position."""
        indices = [axis.keys.clamp(min=0).clamp(max=axis.size - 1) for axis in self.axes]
        return self._gather(x, indices)

    def pairs(self, parts: Sequence[Tensor]) -> Tensor:
        """What holds along every axis: bool (N or 1, blocks, Q, K) each -> (N or 1, G, Q, K)."""
        total = torch.ones((), dtype=torch.bool, device=parts[0].device)
        for axis, part in enumerate(parts):
            shape = [1] * (3 * self.rank)
            shape[axis :: self.rank] = part.shape[1:]
            total = total & part.reshape(part.shape[0], *shape)
        rank = self.rank
        return total.flatten(1 + 2 * rank).flatten(1 + rank, 2 * rank).flatten(1, rank)

    def inside(self) -> Tensor:
        """Bool (1, G, 1, K): which keys lie in the grid."""
        parts = [(axis.keys >= 0) & (axis.keys < axis.size) for axis in self.axes]
        return self.pairs([part[None, :, None] for part in parts])

    def doubles(self) -> Tensor:
        """Bool (G, Q): the queries that stand for nothing."""
        single = self.pairs([~axis.doubles[None, :, :, None] for axis in self.axes])
        return ~single[0, :, :, 0]

    def join(self, blocks: Tensor) -> Tensor:
        """(N, groups, Q, C) -> (N, *grid, C)."""
        counts, sizes = zip(*(axis.query_ranks.shape for axis in self.axes), strict=True)
        x = blocks.reshape(blocks.shape[0], *counts, *sizes, blocks.shape[3])
        pairs = [axis for one in range(1, self.rank + 1) for axis in (one, one + self.rank)]
        x = x.permute(0, *pairs, 2 * self.rank + 1)
        extents = [count * size for count, size in zip(counts, sizes, strict=True)]
        x = x.reshape(blocks.shape[0], *extents, blocks.shape[3])
        for index, axis in enumerate(self.axes, start=1):
            if axis.dilation > 1 or not divides(axis.query_ranks.shape[1], axis.size):
                x = x.index_select(index, axis.order())
        return x

    def places(self) -> tuple[Tensor, Tensor]:
        """(G, Q) and (G, K): index in the grid of each query and key; L where there is none."""
        grid = [axis.size for axis in self.axes]
        length = prod(grid)
        index = torch.arange(length, device=self.axes[0].keys.device).reshape(1, *grid, 1)
        queries = self.queries(index)[0, :, :, 0].masked_fill(self.doubles(), length)
        keys = self.keys(index)[0, :, :, 0].masked_fill(~self.inside()[0, :, 0], length)
        return queries, keys

    def _gather(self, x: Tensor, indices: Sequence[Tensor]) -> Tensor:
        for axis, index in enumerate(indices):
            at = 1 + 2 * axis
            x = x.index_select(at, index.flatten()).unflatten(at, index.shape)
        counts, sizes = range(1, 2 * self.rank, 2), range(2, 2 * self.rank + 1, 2)
        x = x.permute(0, *counts, *sizes, 2 * self.rank + 1)
        return x.flatten(1, self.rank).flatten(2, 1 + self.rank)
