"""Cutting a grid of positions into windows that do not overlap, in 1-D, 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from vidattn.errors import ArgumentError


@dataclass(frozen=True)
class Windows:
    """How a grid is cut: everything is a number for each axis.

    Attributes:
        grid: sizes of the input.
        window: sizes of a window.
        shift: by how many positions the first window is moved; those before it join the last.
    """

    grid: tuple[int, ...]
    window: tuple[int, ...]
    shift: tuple[int, ...]

    @staticmethod
    def fitted(
        grid: Sequence[int], window: Sequence[int], *, shifted: bool, clipped: bool
    ) -> Windows:
        """Windows no larger than the grid; an axis that one window covers is not shifted."""
        sizes, shifts = [], []
        for size, wanted in zip(grid, window, strict=True):
            one = size <= wanted
            sizes.append(size if one and clipped else wanted)
            shifts.append(0 if one or not shifted else wanted // 2)
        return Windows(tuple(grid), tuple(sizes), tuple(shifts))

    @property
    def counts(self) -> tuple[int, ...]:
        """Windows along each axis, the last one partly empty where the sizes do not divide."""
        pairs = zip(self.grid, self.window, strict=True)
        # `is`: with a size that is known at run time only, a clipped window is the same object.
        return tuple(1 if size is one else (size + one - 1) // one for size, one in pairs)

    @property
    def filled(self) -> bool:
        """Whether the windows hold nothing but positions of the grid."""
        cut = zip(self.grid, self.window, strict=True)
        return all(size is one or divides(one, size) for size, one in cut)

    @property
    def moved(self) -> bool:
        """Whether there is a shift along any axis."""
        return any(self.shift)

    def split(self, x: Tensor, *, empty: float = 0) -> Tensor:
        """(N, *grid, C) -> (N, windows, positions in one, C), with `empty` where the grid ends."""
        if not self.filled:
            extents = zip(self.grid, self.window, self.counts, strict=True)
            missing = [count * one - size for size, one, count in extents]
            x = F.pad(
                x, (0, 0, *(side for end in reversed(missing) for side in (0, end))), value=empty
            )
        axes = tuple(range(1, 1 + len(self.grid)))
        if self.moved:
            x = x.roll(tuple(-shift for shift in self.shift), axes)
        return self._cut(x)

    def join(self, windows: Tensor) -> Tensor:
        """The inverse of `split`; what lies outside the grid is dropped."""
        rank = len(self.grid)
        x = windows.reshape(windows.shape[0], *self.counts, *self.window, windows.shape[3])
        pairs = [axis for one in range(1, rank + 1) for axis in (one, one + rank)]
        x = x.permute(0, *pairs, 2 * rank + 1)
        extents = [count * one for count, one in zip(self.counts, self.window, strict=True)]
        x = x.reshape(windows.shape[0], *extents, windows.shape[3])
        if self.moved:
            x = x.roll(self.shift, tuple(range(1, 1 + rank)))
        if self.filled:
            return x
        # A slice would tie an exported graph to sizes where it is (or is not) the whole.
        for axis, size in enumerate(self.grid, start=1):
            x = x.index_select(axis, torch.arange(size, device=x.device))
        return x

    def regions(self, device: torch.device) -> Tensor:
        """(windows, positions in one): equal numbers for neighbours, others where x wraps round."""
        total = torch.zeros((1,) * len(self.grid), dtype=torch.long, device=device)
        cut = zip(self.window, self.counts, self.shift, strict=True)
        for axis, (one, count, shift) in enumerate(cut):
            wrapped = torch.arange(count * one, device=device) >= count * one - shift
            total = total + wrapped.long().mul(2**axis).reshape(
                -1, *[1] * (len(self.grid) - axis - 1)
            )
        return self._cut(total[None, ..., None])[0, :, :, 0]

    def places(self, device: torch.device) -> Tensor:
        """(windows, positions in one): index of each position in the grid, L where it ends."""
        length = prod(self.grid)
        index = torch.arange(length, device=device).reshape(1, *self.grid, 1)
        return self.split(index, empty=length)[0, :, :, 0]

    def _cut(self, x: Tensor) -> Tensor:
        rank = len(self.grid)
        parts = [size for pair in zip(self.counts, self.window, strict=True) for size in pair]
        x = x.reshape(x.shape[0], *parts, x.shape[-1])
        counts, inside = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
        x = x.permute(0, *counts, *inside, 2 * rank + 1)
        return x.flatten(1, rank).flatten(2, 1 + rank)


def divides(one: int, size: int) -> bool:
    """Whether it does; False for a size known at run time only, where the graph must serve both."""
    return not isinstance(size, torch.SymInt) and size % one == 0


def window_sizes(
    argument: str, size: int | Sequence[int] | None, default: Sequence[int]
) -> tuple[int, ...]:
    """One size for each axis, from one for all, one for each or the default."""
    rank = len(default)
    sizes = (size,) * rank if isinstance(size, int) else tuple(default if size is None else size)
    if len(sizes) != rank or any(one < 1 for one in sizes):
        raise ArgumentError(f"{argument}: expected {rank} sizes or one, at least 1, got {size}")
    return sizes


def relative_bias(
    table: Tensor, window: Sequence[int], full: Sequence[int], *, compat: bool = False
) -> Tensor:
    """What a table of relative positions says for each pair in a window.

    Args:
        table: (1, heads, *(2·size − 1)) by query minus key, from the lowest difference up.
        window: sizes of the window, at most `full`.
        full: sizes that the table is made for.
        compat: take the first rows and columns of the full window's pairs, which is wrong
            where a window is smaller than `full` on another axis than the first.

    Returns:
        (heads, positions, positions), query by key.
    """
    sizes = tuple(full) if compat else tuple(window)
    bias = table[0]
    for axis, (size, whole) in enumerate(zip(sizes, full, strict=True)):
        steps = torch.arange(size, device=table.device)
        difference = steps[:, None] - steps[None, :] + whole - 1
        bias = bias.index_select(1 + 2 * axis, difference.flatten())
        bias = bias.unflatten(1 + 2 * axis, (size, size))
    rank = len(sizes)
    queries, keys = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
    bias = bias.permute(0, *queries, *keys).flatten(1, rank).flatten(2, 1 + rank)
    if compat:
        bias = bias[:, : prod(window), : prod(window)]
    return bias
