"""Attention pooling, whatever the positions: the heart of the temporal, spatial and joint ones."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer


class PositionScore(nn.Module):
    """One number for each position, unnormalised.

    s = w · tanh(V x + b), or gated, s = w · (tanh(V x + b) ⊙ σ(U x + c)). The last
    map has no bias, which a softmax could not see.

    Source: Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    attention and gated attention.

    Args:
        channels: C.
        hidden_channels: rows of V and U.
        gated: use the second.
    """

    def __init__(self, channels: int, *, hidden_channels: int, gated: bool) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, hidden_channels)
        self.gate = nn.Linear(channels, hidden_channels) if gated else None
        self.score = nn.Linear(hidden_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *positions) -> (N, *positions), float32 at least."""
        x = x.movedim(1, -1)
        hidden = self.hidden(x).tanh()
        if self.gate is not None:
            hidden = hidden * self.gate(x).sigmoid()
        return single_precision(self.score(hidden).squeeze(-1))


class AttentionPooling(Mechanism):
    """The mean of the features over all positions, weighted by a softmax of learned scores.

    Source: see `PositionScore`.

    Args:
        channels: C.
        hidden_channels: width of the scoring network.
        gated: use the gated scoring network.
    """

    kind: ClassVar[Kind] = "pooler"
    source: ClassVar[str] = (
        "Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018"
    )
    map_kind: ClassVar[MapKind] = "pooling"

    def __init__(self, channels: int, *, hidden_channels: int = 128, gated: bool = False) -> None:
        super().__init__()
        self.score = PositionScore(channels, hidden_channels=hidden_channels, gated=gated)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, *positions) -> features (N, C), weights and scores (N, *positions)."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        pooled = pool(x, self.score(x), mask)
        self.observer(pooled.weights.unsqueeze(1), x.shape[2:])
        return pooled


def pool(x: Tensor, scores: Tensor, mask: Tensor | None) -> Pooled:
    """The mean of x over positions, weighted by the softmax of its scores.

    Args:
        x: (N, C, *positions), 0 at padding.
        scores: (N, *positions).
        mask: as in `Mechanism.forward`.
    """
    kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).squeeze(1)
    flat = None if kept is None else kept.flatten(1)
    weights = masked_softmax(scores.flatten(1), flat, dim=1)
    features = (x.flatten(2) @ weights.to(x.dtype).unsqueeze(2)).squeeze(2)
    return Pooled(features, weights.reshape(scores.shape), lowest_at_padding(scores, kept))


def lowest_at_padding(scores: Tensor, kept: Tensor | None) -> Tensor:
    """Scores with the lowest finite number at padding; `kept` is bool, of the same shape."""
    return scores if kept is None else scores.masked_fill(~kept, torch.finfo(scores.dtype).min)
