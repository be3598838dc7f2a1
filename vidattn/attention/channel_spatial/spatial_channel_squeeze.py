from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_mean
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError

Fusion = Literal["add", "max", "multiply"]


class SpatialChannelSqueeze(Gate):
    """One weight per channel and one per position, side by side, and the two results joined.

    c = σ(W₂ ReLU(W₁ mean(x) + b₁) + b₂), s = σ(w · x + b); y = x · c + x · s, or the larger of
    x · c and x · s, or (x · c) · (x · s).

    Source: Roy, Navab, Wachinger, scSE, MICCAI 2018, the two squeezes, and TMI 2019, for the three
    ways to join. With biases. Concatenation, the fourth way, would double C.

    Args:
        channels: C.
        reduction: the hidden layer has C / reduction units, rounded down, at least 1.
        fusion: "add", "max" or "multiply".
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Roy, Navab, Wachinger, scSE, MICCAI 2018; TMI 2019"
    map_meaning: ClassVar[str] = "joined channel and position weight: added, in (0, 2)"

    def __init__(self, channels: int, *, reduction: int = 2, fusion: Fusion = "add") -> None:
        super().__init__()
        if fusion not in get_args(Fusion):
            raise ArgumentError(f"fusion: expected 'add', 'max' or 'multiply', got {fusion!r}")
        hidden = max(1, channels // reduction)
        self.fusion = fusion
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)
        self.position = nn.Linear(channels, 1)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        hidden = F.relu(self.squeeze(masked_mean(x, mask)))
        channel = self.per_channel(self.excite(hidden).sigmoid(), x)
        # A product with the flat positions copies x in no memory format.
        scores = self.position.weight @ x.flatten(2) + self.position.bias
        position = scores.sigmoid().unflatten(2, x.shape[2:])
        if self.fusion == "add":
            return channel + position
        if self.fusion == "multiply":
            return x * channel * position
        # The larger product of a negative feature is that with the smaller weight.
        larger, smaller = torch.maximum(channel, position), torch.minimum(channel, position)
        return torch.where(x >= 0, larger, smaller)
