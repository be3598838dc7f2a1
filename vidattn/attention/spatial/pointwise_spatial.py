from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_softmax
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class PointwiseSpatialAttention(Mixer):
    """Every position says from where it collects and to where it distributes, without comparing.

    Each position i predicts one number o_i(δ) for every displacement δ up to the largest size.
    Collecting, a_ij = softmax_j o_i(j − i); distributing, a_ij = softmax_j o'_j(i − j);
    y = x + R_out([Σ_j a_ij z_j, Σ_j a'_ij z'_j]), z = R(x), z' = R'(x), o = W R_o(z), with R a
    linear map, batch normalisation and ReLU. The authors put x and the addition side by side
    where here they are added, and halve H and W before all this; both are for the network.

    Its map has two heads, collecting and distributing. It exists in 2-D only: a clip would have
    (2T − 1)(2H − 1)(2W − 1) displacements.

    Source: Zhao et al., PSANet, ECCV 2018, the bi-directional form.

    Args:
        channels: C.
        hidden_channels: of z; None for C / 4, rounded down, at least 1.
        largest: the largest H and W of x, one number or two; the authors' is 30.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Zhao et al., PSANet, ECCV 2018"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    ranks: tuple[int, ...] = (2,)

    def __init__(
        self,
        channels: int,
        *,
        hidden_channels: int | None = None,
        largest: int | Sequence[int] = 16,
    ) -> None:
        super().__init__()
        sizes = (largest, largest) if isinstance(largest, int) else tuple(largest)
        if len(sizes) != 2 or min(sizes) < 1:
            raise ArgumentError(f"largest: expected H and W or one number, got {largest}")
        hidden = hidden_channels or max(1, channels // 4)
        displacements = (2 * sizes[0] - 1) * (2 * sizes[1] - 1)
        self.largest = sizes
        self.collect = _Branch(channels, hidden, displacements)
        self.distribute = _Branch(channels, hidden, displacements)
        self.output = _Reduction(2 * hidden, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        index = self._displacements(grid, tokens.device).expand(tokens.shape[0], -1, -1)
        collected, scores = self.collect(tokens)
        distributed, given = self.distribute(tokens)
        scores = torch.stack([scores.gather(2, index), given.gather(2, index).transpose(1, 2)], 1)
        weights = masked_softmax(scores, None if mask is None else mask[:, None, None], dim=3)
        if self.observer.recording:
            self._show(weights.detach(), mask, grid)
        value = torch.stack([collected, distributed], 1)
        return self.output((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))

    def _displacements(self, grid: tuple[int, ...], device: torch.device) -> Tensor:
        """(L, L): the number of the displacement j − i."""
        (height, width), (rows, columns) = grid, self.largest
        if height > rows or width > columns:
            raise ArgumentError(
                f"PointwiseSpatialAttention: expected H and W up to {rows} and {columns} "
                f"(`largest`), got {height} and {width}"
            )
        down, right = (torch.arange(size, device=device) for size in (height, width))
        down = down - down.unsqueeze(1) + rows - 1
        right = right - right.unsqueeze(1) + columns - 1
        index = down[:, None, :, None] * (2 * columns - 1) + right[:, None, :]
        return index.flatten(2).flatten(0, 1)

    def _show(self, weights: Tensor, mask: Tensor | None, grid: tuple[int, ...]) -> None:
        real = torch.ones_like(weights[:, 0, 0]) if mask is None else mask.to(weights)
        total = (weights * real[:, None, :, None]).sum(2)
        received = total / real.sum(1).clamp(min=1)[:, None, None]
        whole = weights if self.observer.wants_affinity else None
        self.observer(received.unflatten(2, grid), grid, affinity=whole)


class _Reduction(nn.Module):
    """A linear map, batch normalisation and ReLU: (N, L, C) -> (N, L, C')."""

    def __init__(self, channels: int, made: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, made, bias=False)
        self.norm = nn.BatchNorm1d(made)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.relu(self.norm(self.linear(tokens).transpose(1, 2)).transpose(1, 2))


class _Branch(nn.Module):
    """(N, L, C) -> what is mixed, (N, L, hidden), and a number for every displacement."""

    def __init__(self, channels: int, hidden: int, displacements: int) -> None:
        super().__init__()
        self.reduce = _Reduction(channels, hidden)
        self.inner = _Reduction(hidden, hidden)
        self.score = nn.Linear(hidden, displacements, bias=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        reduced = self.reduce(tokens)
        return reduced, self.score(self.inner(reduced))
