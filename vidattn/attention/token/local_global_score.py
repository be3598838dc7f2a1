"""The scorer that DynamicViT introduced and STTS took over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_mean, single_precision


class LocalGlobalScore(nn.Module):
    """Numbers for each position, from itself and from the mean of all.

    h = GELU(W₁ LayerNorm(x)); the upper half of h's channels becomes its mean over positions;
    s = W₄ GELU(W₃ GELU(W₂ h)), from C to C / 2, C / 4 and `outputs` channels. All with biases.

    Source: Rao et al., DynamicViT, NeurIPS 2021; Wang et al., STTS, ECCV 2022.

    Args:
        channels: C.
        outputs: numbers a position.
    """

    def __init__(self, channels: int, *, outputs: int = 1) -> None:
        super().__init__()
        half, quarter = max(1, channels // 2), max(1, channels // 4)
        self.local = channels // 2
        self.norm = nn.LayerNorm(channels)
        self.hidden = nn.Linear(channels, channels)
        self.score = nn.Sequential(
            nn.Linear(channels, half),
            nn.GELU(),
            nn.Linear(half, quarter),
            nn.GELU(),
            nn.Linear(quarter, outputs),
        )

    def forward(self, tokens: Tensor, kept: Tensor | None) -> Tensor:
        """(N, L, C) and bool (N, L) -> (N, L, outputs), float32 at least."""
        hidden = nn.functional.gelu(self.hidden(self.norm(tokens)))
        local, shared = hidden[..., : self.local], hidden[..., self.local :]
        mask = None if kept is None else kept.unsqueeze(1)
        overall = masked_mean(shared.transpose(1, 2), mask).unsqueeze(1)
        both = torch.cat([local, overall.expand_as(shared)], dim=2)
        return single_precision(self.score(both))
