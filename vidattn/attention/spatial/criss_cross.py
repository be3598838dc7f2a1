from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class CrissCross(Mixer):
    """Every position reads from those in its own row, column and moment, several times over.

    One pass: a = softmax over the keys that share all coordinates but one with the query of
    q · k, x ← x + γ Σ a v, with q, k, v linear in x. In 3-D there are T + H + W − 2 such keys, the
    query itself among them once. Passes share their weights; as many passes as axes let every
    position reach every other. γ starts at 0, so that a new one is the identity. There is no
    scale, as in the paper: products are taken in float32 at least.

    Its map is that of each pass, one after the other.

    Source: Huang et al., CCNet, ICCV 2019; in three axes, TPAMI 2023.

    Args:
        channels: C.
        hidden_channels: of q and k; None for C / 8, rounded down, at least 1.
        passes: how often; None for one for each axis of x that is longer than 1, at least one.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Huang et al., CCNet, ICCV 2019"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self, channels: int, *, hidden_channels: int | None = None, passes: int | None = None
    ) -> None:
        super().__init__()
        if passes is not None and passes < 1:
            raise ArgumentError(f"passes: expected at least 1, got {passes}")
        hidden = hidden_channels or max(1, channels // 8)
        self.passes = passes
        self.query = nn.Linear(channels, hidden)
        self.key = nn.Linear(channels, hidden)
        self.value = nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(()))
        self.starts_as_identity = True

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        x = tokens.unflatten(1, grid)
        kept = None if mask is None else mask.unflatten(1, grid)
        added = self.gamma * self._read(x, kept, grid)
        passes = self.passes or sum(size > 1 for size in grid)
        for _ in range(passes - 1):
            added = added + self.gamma * self._read(x + added, kept, grid)
        return added.flatten(1, -2)

    def _read(self, x: Tensor, kept: Tensor | None, grid: tuple[int, ...]) -> Tensor:
        """One pass: (N, *grid, C) -> what each position reads, of the same shape."""
        weights = self._weights(self.query(x), self.key(x), kept, grid)
        if self.observer.recording:
            self._show(weights, kept, grid)
        value = self.value(x)
        total = torch.zeros_like(value)
        for axis, part in enumerate(weights, start=1):
            lines = part.to(value.dtype).movedim(axis, -2) @ value.movedim(axis, -2)
            total = total + lines.movedim(-2, axis)
        return total

    def _weights(
        self, query: Tensor, key: Tensor, kept: Tensor | None, grid: tuple[int, ...]
    ) -> list[Tensor]:
        """For each axis (N, *grid, size of the axis); together they sum to 1 for each query."""
        scores, allowed = [], []
        with torch.autocast(query.device.type, enabled=False):
            query, key = single_precision(query), single_precision(key)
            for axis in range(1, len(grid) + 1):
                lines = query.movedim(axis, -2) @ key.movedim(axis, -2).transpose(-1, -2)
                scores.append(lines.movedim(-2, axis))
                allowed.append(_keys(query, kept, axis, own=axis == len(grid)))
        joined = masked_softmax(torch.cat(scores, -1), torch.cat(allowed, -1), dim=-1)
        return list(joined.split(list(grid), dim=-1))

    @torch.no_grad()
    def _show(self, weights: list[Tensor], kept: Tensor | None, grid: tuple[int, ...]) -> None:
        real = torch.ones_like(weights[0][..., 0]) if kept is None else kept.to(weights[0])
        received = torch.zeros_like(real)
        for axis, part in enumerate(weights, start=1):
            received += (part * real.unsqueeze(-1)).sum(axis).movedim(-1, axis)
        count = real.flatten(1).sum(1).clamp(min=1).reshape(-1, *[1] * len(grid))
        whole = _whole(weights, grid) if self.observer.wants_affinity else None
        self.observer((received / count).unsqueeze(1), grid, affinity=whole)


def _keys(query: Tensor, kept: Tensor | None, axis: int, *, own: bool) -> Tensor:
    """Which keys along one axis count, (N, *grid, size); the query itself only if `own`."""
    index = torch.arange(query.shape[axis], device=query.device)
    allowed = (index.reshape(-1, *[1] * (query.ndim - 1 - axis)) != index) | own
    if kept is not None:
        allowed = allowed & kept.movedim(axis, -1).unsqueeze(axis)
    return allowed.expand(*query.shape[:-1], -1)


def _whole(weights: list[Tensor], grid: tuple[int, ...]) -> Tensor:
    """The weights as (N, 1, L, L), with zeros for all pairs that do not share a line."""
    rank = len(grid)
    total = weights[0].new_zeros(len(weights[0]), *grid, *grid)
    for axis, part in enumerate(weights):
        spread = part.reshape(
            *part.shape[:-1], *(size if other == axis else 1 for other, size in enumerate(grid))
        )
        for other in range(rank):
            if other != axis:
                same = torch.eye(grid[other], dtype=part.dtype, device=part.device)
                shape = [grid[other] if i % rank == other else 1 for i in range(2 * rank)]
                spread = spread * same.reshape(shape)
        total += spread
    return total.flatten(1 + rank).flatten(1, rank).unsqueeze(1)
