from __future__ import annotations

from math import gcd
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_mean, single_precision
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class LinearContextTransform(Gate):
    """One weight per channel, from its mean against those of its group; no mixing of channels.

    n = (mean(x) − μ) / √(v + ε), with μ and v over the group's channels; a = σ(w n + b), with w
    and b for each channel; y = x · a.

    Source: Ruan, Wen, Zheng, Zheng, Linear Context Transform, AAAI 2020. No public code confirms
    this formula, ε = 10⁻⁵ or the start; public copies start with w = 1, b = 0, or w = 0, b = 1.

    Args:
        channels: C.
        groups: a divisor of C; None for the paper's 64 or, where that would leave single
            channels, the largest power of two that leaves groups of two or more, if any.
        weight: w at the start.
        bias: b at the start.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Ruan, Wen, Zheng, Zheng, Linear Context Transform, AAAI 2020"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    def __init__(
        self, channels: int, *, groups: int | None = None, weight: float = 0.0, bias: float = 1.0
    ) -> None:
        super().__init__()
        if groups is None:
            groups = 1 if channels % 2 else gcd(64, channels // 2)
        if groups < 1 or channels % groups:
            raise ArgumentError(f"groups: expected a divisor of {channels}, got {groups}")
        self.groups = groups
        self.weight = nn.Parameter(torch.full((channels,), weight))
        self.bias = nn.Parameter(torch.full((channels,), bias))

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        normalised = F.group_norm(single_precision(masked_mean(x, mask)), self.groups)
        return self.per_channel((self.weight * normalised + self.bias).sigmoid().to(x.dtype), x)
