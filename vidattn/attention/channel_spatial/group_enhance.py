from __future__ import annotations

from math import gcd
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.channel_spatial.deviations import deviations, variance
from vidattn.attention.masking import masked_mean, single_precision
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class SpatialGroupEnhance(Gate):
    """One weight per position in each group of channels: how it resembles the group's mean.

    c = Σ x · mean(x) over a group's channels; ĉ = (c - μ) / (s + 10⁻⁵), with the mean and the
    standard deviation over positions; a = σ(γ ĉ + β), one γ and β for each group; y = x · a.

    Source: Li, Hu, Yang, Spatial Group-wise Enhance, arXiv 1905.09646. As in the text, s² divides
    by the number of positions; the authors' code divides by one less.

    Args:
        channels: C.
        groups: must divide C; the paper's is 64. None for the largest power of two up to 64
            that does.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Li, Hu, Yang, Spatial Group-wise Enhance, arXiv 1905.09646"
    map_meaning: ClassVar[str] = "what each feature was multiplied by, in (0, 1)"

    def __init__(self, channels: int, *, groups: int | None = None) -> None:
        super().__init__()
        self.groups = groups or gcd(channels, 64)
        if channels % self.groups:
            raise ArgumentError(f"groups: expected a divisor of {channels}, got {groups}")
        self.scale = nn.Parameter(torch.zeros(self.groups))
        self.shift = nn.Parameter(torch.ones(self.groups))

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        exact = single_precision(x)  # a product of features is too large for half precision
        products = exact * self.per_channel(masked_mean(exact, mask), x)
        likeness = products.unflatten(1, (self.groups, -1)).sum(2)
        deviation, count = deviations(likeness, mask)
        # Clamped, as the root of 0 has no derivative.
        smallest = torch.finfo(deviation.dtype).tiny
        spread = variance(deviation, count).clamp(min=smallest).sqrt()
        scale, shift = (
            value.reshape(-1, *[1] * (x.ndim - 2)) for value in (self.scale, self.shift)
        )
        gate = (deviation / (spread + 1e-5) * scale + shift).sigmoid()
        return gate.repeat_interleave(x.shape[1] // self.groups, dim=1).to(x.dtype)
