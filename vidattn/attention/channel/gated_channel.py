from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError

EPSILON = 1e-5


class GatedChannelTransformation(Gate):
    """Lets channels compete or cooperate: each norm against that of all.

    With sums over positions and means over channels:
    l2: e = α √(Σ x² + ε), n = e / √(mean e² + ε); l1: e = α Σ |x|, n = e / (mean |e| + ε);
    y = x · (1 + tanh(γ n + β)). A new one (α = 1, γ = β = 0) is the identity. Put before
    convolutions.

    Source: Yang, Zhu, Wu, Yang, Gated Channel Transformation, CVPR 2020; l1 and ε = 10⁻⁵ as in the
    authors' code.

    Args:
        channels: C.
        norm: "l2" or "l1".
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Yang, Zhu, Wu, Yang, Gated Channel Transformation, CVPR 2020"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 2); 1 is neutral"

    def __init__(self, channels: int, *, norm: Literal["l2", "l1"] = "l2") -> None:
        super().__init__()
        if norm not in ("l2", "l1"):
            raise ArgumentError(f"norm: expected 'l2' or 'l1', got {norm!r}")
        self.norm: Literal["l2", "l1"] = norm
        self.scale = nn.Parameter(torch.ones(channels))
        self.gate_weight = nn.Parameter(torch.zeros(channels))
        self.gate_bias = nn.Parameter(torch.zeros(channels))
        self.starts_as_identity = True

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        gate = self.gate_weight * self._normalised(x) + self.gate_bias
        return self.per_channel((1 + gate.tanh()).to(x.dtype), x)

    def _normalised(self, x: Tensor) -> Tensor:
        """(N, C), float32 at least: a sum of squares overflows half precision."""
        x, positions = single_precision(x), tuple(range(2, x.ndim))
        if self.norm == "l1":
            embedding = self.scale * x.abs().sum(positions)
            return embedding / (embedding.abs().mean(1, keepdim=True) + EPSILON)
        embedding = self.scale * (x.square().sum(positions) + EPSILON).sqrt()
        return embedding / (embedding.square().mean(1, keepdim=True) + EPSILON).sqrt()
