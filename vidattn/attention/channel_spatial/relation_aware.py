from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.attention.precision import in_single_precision
from vidattn.errors import ArgumentError


class RelationAwareAttention(Gate):
    """One weight per position, then one per channel, each from how it relates to all the others.

    Of L items with F features each, x_i: G_ij = θ(x_i) · φ(x_j),
    r_i = ψ([G_i1 … G_iL; G_1i … G_Li]), a_i = σ(BN(w · ρ([mean ξ(x_i); r_i]))), where θ, φ and ξ
    (to F / r), ψ (to L / r) and ρ (to (1 + L / r) / r) are linear maps with batch normalisation
    and ReLU. First the items are the positions, with C features; then, of the weighted x, the
    channels, with a feature for each position. y = x · a_position · a_channel.

    Widths are rounded down, at least 1. The layers are as wide as there are positions, which is
    why the size is fixed; time and memory grow with its square.

    Source: Zhang et al., RGA, CVPR 2020, with the layers of the authors' code.

    Args:
        channels: C.
        grid: sizes of the position axes of x.
        spatial_dims: their number.
        reduction: r.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Zhang et al., RGA, CVPR 2020"
    map_meaning: ClassVar[str] = "position weight times channel weight, in (0, 1)"
    fixed_size: ClassVar[bool] = True

    def __init__(
        self, channels: int, *, grid: Sequence[int], spatial_dims: int = 3, reduction: int = 8
    ) -> None:
        super().__init__()
        if len(grid) != spatial_dims or any(size < 1 for size in grid):
            raise ArgumentError(f"grid: expected {spatial_dims} positive sizes, got {grid}")
        self.ranks = (spatial_dims,)
        self.grid = tuple(grid)
        self.position = _Relations(channels, prod(grid), reduction)
        self.channel = _Relations(prod(grid), channels, reduction)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        if x.shape[2:] != self.grid:
            raise ArgumentError(
                f"{type(self).__name__}: expected x with positions {self.grid}, "
                f"got {tuple(x.shape[2:])}"
            )
        flat = x.flatten(2)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *self.grid).flatten(2)
        position = self.position(flat, kept)
        channel = self.channel((flat * position).transpose(1, 2), None)
        return (position * channel.transpose(1, 2)).unflatten(2, self.grid)


class _Relations(nn.Module):
    """(N, features, items) -> (N, 1, items), in (0, 1)."""

    def __init__(self, features: int, items: int, reduction: int) -> None:
        super().__init__()
        narrow, related = max(1, features // reduction), max(1, items // reduction)
        self.query = _layer(features, narrow)
        self.key = _layer(features, narrow)
        self.own = _layer(features, narrow)
        self.relations = _layer(2 * items, related)
        hidden = max(1, (1 + related) // reduction)
        self.hidden = _layer(1 + related, hidden)
        self.score = nn.Sequential(nn.Conv1d(hidden, 1, 1, bias=False), nn.BatchNorm1d(1))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query, key = zero_padding(self.query(x), mask), zero_padding(self.key(x), mask)
        # Products of features, and sums of them over all items, are too large for half precision.
        with torch.autocast(x.device.type, enabled=False):
            affinity = single_precision(query).transpose(1, 2) @ single_precision(key)
        # Item i's own column: what it gives to all, above what all give to it.
        both = torch.cat([affinity.transpose(1, 2), affinity], dim=1)
        related = in_single_precision(self.relations, both)
        own = single_precision(self.own(x)).mean(1, keepdim=True)
        hidden = in_single_precision(self.hidden, torch.cat([own, related], dim=1))
        return in_single_precision(self.score, hidden).sigmoid().to(x.dtype)


def _layer(width: int, out_width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(width, out_width, 1, bias=False), nn.BatchNorm1d(out_width), nn.ReLU()
    )
