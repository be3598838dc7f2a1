from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import pool


class AdaptiveScanPooling(Mechanism):
    """One vector from many frames, read in order: each counts by how it differs from those before.

    γ[t] = σ(w · tanh(W₂ tanh(W₁ (x[t] - ψ[t-1]) + b₁) + b₂) + b₃), Γ[t] = γ[1] + … + γ[t],
    ψ[t] = (Γ[t-1] ψ[t-1] + γ[t] x[t]) / Γ[t], so that the result ψ[T] is the mean of the frames
    weighted by γ. The first real frame has γ = 1. Scores are log γ, whose softmax is γ / Γ[T].

    (N, C, T) -> features (N, C), weights (N, T), scores (N, T).

    Source: Kar et al., CVPR 2017 (AdaScan). As in the authors' code the network sees
    the difference only and has two hidden layers. Their code gives the first frame no weight at
    all; that it should have 1 is our reading, which nothing public confirms.

    Args:
        channels: C.
        hidden_channels: widths of the two hidden layers; None for C / 2 and C / 8, which are the
            authors' 2048 and 512 at 4096.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Kar et al., CVPR 2017 (AdaScan)"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "share of each frame in the pooled vector; sums to 1 over T"
    sequential: ClassVar[bool] = True
    ranks: tuple[int, ...] = (1,)

    def __init__(self, channels: int, *, hidden_channels: tuple[int, int] | None = None) -> None:
        super().__init__()
        wide, narrow = hidden_channels or (max(1, channels // 2), max(1, channels // 8))
        self.wide = nn.Linear(channels, wide)
        self.narrow = nn.Linear(wide, narrow)
        self.score = nn.Linear(narrow, 1)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T) -> features (N, C), weights and scores (N, T)."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = None if mask is None else mask.expand(x.shape[0], 1, x.shape[2])
        pooled = pool(x, self._log_importances(x, kept), mask)
        self.observer(pooled.weights.unsqueeze(1), x.shape[2:])
        return pooled

    def _log_importances(self, x: Tensor, kept: Tensor | None) -> Tensor:
        """x (N, C, T), kept bool (N, 1, T) -> log γ (N, T)."""
        state = single_precision(torch.zeros_like(x[:, :, 0]))
        total = torch.zeros_like(state[:, :1])
        steps = []
        for index in range(x.shape[2]):
            change = x[:, :, index] - state
            log_importance = F.logsigmoid(single_precision(self._score(change)))
            log_importance = torch.where(total == 0, 0, log_importance)
            importance = log_importance.exp()
            if kept is not None:
                importance = torch.where(kept[:, :, index], importance, 0)
            total = total + importance
            # Where nothing real has come yet, the total is 0 and so is the importance.
            state = state + importance / torch.where(total == 0, 1, total) * change
            steps.append(log_importance)
        return torch.cat(steps, 1)

    def _score(self, change: Tensor) -> Tensor:
        """(N, C) -> (N, 1)."""
        wide = self.wide(change.to(self.wide.weight.dtype)).tanh()
        score: Tensor = self.score(self.narrow(wide).tanh())
        return score
