from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_mean, single_precision
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError

EPSILON = 1e-5


class GaussianContextTransformer(Gate):
    """Weakens channels whose mean is far from that of the others, by a Gaussian; no parameters.

    n = (mean(x) − μ) / √(v + ε), with μ and v over all channels; a = exp(−n² / (2 s²)),
    y = x · a. Learnable: s = 3 σ(θ) + 1 with one θ, which starts at 0, s at 2.5.

    Source: Ruan, Wang, Zheng, Zheng, Gaussian Context Transformer, CVPR 2021. No public code
    confirms this formula: its text calls s the standard deviation; public copies multiply n² by a
    constant of 2 / 2 instead, which is s = 0.71.

    Args:
        channels: C; not used, for the formula is the same for any number.
        deviation: s, where it is not learned.
        learnable: learn s.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Ruan, Wang, Zheng, Zheng, Gaussian Context Transformer, CVPR 2021"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1]"

    def __init__(self, channels: int, *, deviation: float = 2.0, learnable: bool = False) -> None:
        super().__init__()
        if deviation <= 0:
            raise ArgumentError(f"deviation: expected a number above 0, got {deviation}")
        self.deviation = deviation
        self.spread = nn.Parameter(torch.zeros(())) if learnable else None

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        means = single_precision(masked_mean(x, mask))
        variance, centre = torch.var_mean(means, 1, correction=0, keepdim=True)
        squares = (means - centre).square() / (variance + EPSILON)
        deviation = self.deviation if self.spread is None else 3 * self.spread.sigmoid() + 1
        return self.per_channel((squares / (-2 * deviation**2)).exp().to(x.dtype), x)
