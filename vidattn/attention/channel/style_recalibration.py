from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Gate

EPSILON = 1e-5


class StyleRecalibration(Gate):
    """One weight per channel, from that channel's own mean and standard deviation.

    a = σ(BN(w₁ mean(x) + w₂ std(x))), y = x · a, with two weights for each channel, which start
    at 0; std = √(variance + ε), the variance divided by positions − 1. The batch normalisation
    is over the samples: training needs two of them, or two frames where it is used per frame.

    Source: Lee, Kim, Nam, SRM, ICCV 2019; ε = 10⁻⁵ and the unbiased variance as in the authors'
    code. A single position has variance 0.

    Args:
        channels: C.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Lee, Kim, Nam, SRM, ICCV 2019"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.style_weight = nn.Parameter(torch.zeros(channels, 2))
        self.norm = nn.BatchNorm1d(channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        style = torch.stack(_mean_and_deviation(x, mask), dim=2)  # (N, C, 2)
        score = (style * self.style_weight).sum(2).to(self.style_weight.dtype)
        return self.per_channel(self.norm(score).sigmoid().to(x.dtype), x)


def _mean_and_deviation(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """(N, C, *positions) -> (N, C) twice, float32 at least, over real positions."""
    x, positions = single_precision(x), tuple(range(2, x.ndim))
    if mask is None:
        variance, mean = torch.var_mean(x, positions, correction=0)
        count = prod(x.shape[2:])
        return mean, (variance * count / max(count - 1, 1) + EPSILON).sqrt()
    mask = mask.expand(x.shape[0], 1, *x.shape[2:])
    real = mask.sum(positions)
    mean = x.sum(positions) / real.clamp(min=1)
    away = zero_padding(x - Gate.per_channel(mean, x), mask)
    variance = away.square().sum(positions) / (real - 1).clamp(min=1)
    return mean, (variance + EPSILON).sqrt()
