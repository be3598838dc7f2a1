from __future__ import annotations

from math import gcd
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.channel_spatial.deviations import deviations, variance
from vidattn.attention.convolutions import stored_like
from vidattn.attention.masking import masked_mean, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.errors import ArgumentError


class ShuffleAttention(Mechanism):
    """Channel weights for half of every group of channels, position weights for the other half.

    a₁ = σ(w₁ mean(x₁) + b₁), a₂ = σ(w₂ (γ x̂₂ + β) + b₂), x̂₂ = (x₂ - mean) / √(variance + 10⁻⁵),
    over each channel's positions, with one number w, b, γ, β for each channel of a half group,
    the same in all groups. y is x · a with its two halves of channels interleaved, so
    that groups meet: this changes the order of channels, hence the kind.

    Source: Zhang and Yang, SA-Net, ICASSP 2021.

    Args:
        channels: C.
        groups: C must be a multiple of twice their number; the paper's is 64. None for the
            largest power of two up to 64 that fits.
    """

    family: ClassVar[str] = "channel_spatial"
    kind: ClassVar[Kind] = "replacement"
    source: ClassVar[str] = "Zhang and Yang, SA-Net, ICASSP 2021"
    map_kind: ClassVar[MapKind] = "gate"
    map_meaning: ClassVar[str] = "what each feature of x, before the shuffle, was multiplied by"

    def __init__(self, channels: int, *, groups: int | None = None) -> None:
        super().__init__()
        if channels % 2 or channels % (2 * (groups or 1)):
            raise ArgumentError(
                f"channels: expected a multiple of twice the groups ({groups or 'any'}), "
                f"got {channels}"
            )
        self.groups = groups or gcd(channels // 2, 64)
        width = channels // (2 * self.groups)
        self.channel_scale = nn.Parameter(torch.zeros(width))
        self.channel_shift = nn.Parameter(torch.ones(width))
        self.position_scale = nn.Parameter(torch.zeros(width))
        self.position_shift = nn.Parameter(torch.ones(width))
        self.norm_scale = nn.Parameter(torch.ones(width))
        self.norm_shift = nn.Parameter(torch.zeros(width))
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape, channels in another order; 0 at padding."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        weights = zero_padding(self._weights(x, mask), mask)
        self.observer(weights, x.shape[2:])
        # Channel 2 i + h of the result is channel i of half h.
        halves = (x * weights).unflatten(1, (2, -1)).transpose(1, 2)
        return stored_like(x, halves.flatten(1, 2))

    def _weights(self, x: Tensor, mask: Tensor | None) -> Tensor:
        first, second = (half.flatten(1, 2) for half in self._grouped(x).unbind(2))
        means = single_precision(masked_mean(first, mask)).unflatten(1, (self.groups, -1))
        channel = (means * self.channel_scale + self.channel_shift).sigmoid().flatten(1)
        channel = channel.reshape(*channel.shape, *[1] * (x.ndim - 2)).expand(first.shape)
        deviation, count = deviations(second, mask)
        standard = deviation * (variance(deviation, count) + 1e-5).rsqrt()
        # Both affine maps in one: w (γ x̂ + β) + b.
        scale = self.position_scale * self.norm_scale
        shift = self.position_scale * self.norm_shift + self.position_shift
        position = (standard * self._repeated(scale, x) + self._repeated(shift, x)).sigmoid()
        both = torch.stack([self._ungrouped(channel), self._ungrouped(position)], dim=2)
        return both.flatten(1, 3).to(x.dtype)

    def _grouped(self, x: Tensor) -> Tensor:
        """(N, C, *positions) -> (N, groups, 2, width, *positions)."""
        return x.unflatten(1, (self.groups, 2, -1))

    def _ungrouped(self, half: Tensor) -> Tensor:
        """(N, C / 2, *positions) -> (N, groups, width, *positions)."""
        return half.unflatten(1, (self.groups, -1))

    def _repeated(self, values: Tensor, x: Tensor) -> Tensor:
        """(width,) -> (C / 2, 1, …), the same in every group."""
        return values.repeat(self.groups).reshape(-1, *[1] * (x.ndim - 2))
