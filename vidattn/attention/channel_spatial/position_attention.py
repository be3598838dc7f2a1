from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.affinity import attend
from vidattn.attention.mechanism import Mixer


class PositionAttention(Mixer):
    """Every position reads from every other in all channels, compared in an eighth of them.

    y = x + γ softmax(q kᵀ) v, with q, k, v linear in x, without a scale. γ starts at 0, so that a
    new one is the identity.

    Source: Fu et al., DANet, CVPR 2019.

    Args:
        channels: C.
        hidden_channels: of q and k; None for C / 8, rounded down, at least 1.
        scale: of the dot products; the paper has none, which is 1.0.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Fu et al., DANet, CVPR 2019"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self, channels: int, *, hidden_channels: int | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        hidden = hidden_channels or max(1, channels // 8)
        self.scale = scale
        self.query = nn.Linear(channels, hidden)
        self.key = nn.Linear(channels, hidden)
        self.value = nn.Linear(channels, channels)
        self.strength = nn.Parameter(torch.zeros(1))
        self.starts_as_identity = True

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        query, key, value = (
            embed(tokens).unsqueeze(1) for embed in (self.query, self.key, self.value)
        )
        mixed = attend(
            query, key, value, scale=self.scale, mask=mask, grid=grid, observer=self.observer
        )
        return self.strength * mixed.squeeze(1)
