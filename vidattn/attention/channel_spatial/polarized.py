from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import (
    masked_mean,
    masked_softmax,
    single_precision,
)
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError

Arrangement = Literal["parallel", "sequential"]


class PolarizedAttention(Gate):
    """A weight per channel and a weight per position, each at full size in what it judges.

    Channels: c = σ(LN(W_z Σ_p softmax_p(w_q · x_p) W_v x_p)), where w_q makes one channel, W_v
    C / 2 and W_z C; positions: s = σ(softmax(mean_p(V_q x_p)) · V_v x), whose softmax is over
    the C / 2 channels. Parallel: y = x · c + x · s. Sequential: y = (x · c) · s, with s made of
    x · c. In the authors' code (`compat`) there is no LN, and s = σ(softmax_p(mean_p(V_q x_p) ·
    V_v x)), if parallel; if sequential c = σ(W₂ ReLU(LN(W₁ Σ …)) + b₂), where W₁ makes C / 8
    channels, and s = σ(mean_p(V_q x_p) · softmax_p(V_v x)).

    Source: Liu, Liu, Fan, Huang, Polarized Self-Attention, arXiv 2107.00782
    (https://arxiv.org/abs/2107.00782), equations 2 to 5.

    Args:
        channels: C, at least 2, with `compat` in sequence at least 8.
        arrangement: "parallel" or "sequential".
        compat: as in the authors' code.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Liu, Liu, Fan, Huang, Polarized Self-Attention, arXiv 2107.00782"
    map_meaning: ClassVar[str] = (
        "channel weight and position weight, added (parallel) or multiplied (sequential)"
    )

    def __init__(
        self,
        channels: int,
        *,
        arrangement: Arrangement = "parallel",
        compat: bool = False,
    ) -> None:
        super().__init__()
        if arrangement not in get_args(Arrangement):
            raise ArgumentError(
                f"arrangement: expected 'parallel' or 'sequential', got {arrangement!r}"
            )
        fewest = 8 if compat and arrangement == "sequential" else 2
        if channels < fewest:
            raise ArgumentError(f"channels: expected at least {fewest}, got {channels}")
        half, narrow = channels // 2, channels // 2 // 4
        self.arrangement: Arrangement = arrangement
        self.compat = compat
        self.channel_query = nn.Linear(channels, 1, bias=False)
        self.channel_value = nn.Linear(channels, half, bias=False)
        self.channel_output: nn.Module
        if not compat:
            self.channel_output = nn.Sequential(
                nn.Linear(half, channels, bias=False), nn.LayerNorm(channels)
            )
        elif arrangement == "parallel":
            self.channel_output = nn.Linear(half, channels, bias=False)
        else:
            self.channel_output = nn.Sequential(
                nn.Linear(half, narrow),
                nn.LayerNorm(narrow),
                nn.ReLU(),
                nn.Linear(narrow, channels),
            )
        self.position_query = nn.Linear(channels, half, bias=False)
        self.position_value = nn.Linear(channels, half, bias=False)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(2)
        channel = self.per_channel(self._channel(x, kept), x)
        if self.arrangement == "parallel":
            return channel + self._position(x, mask, kept)
        return channel * self._position(x * channel, mask, kept)

    def _channel(self, x: Tensor, kept: Tensor | None) -> Tensor:
        """(N, C)."""
        tokens = x.flatten(2).transpose(1, 2)
        logits = self.channel_query(tokens).transpose(1, 2)
        shares = masked_softmax(logits, kept, dim=2)
        value = self.channel_value(tokens)
        read = (shares.to(value.dtype) @ value).squeeze(1)
        weights: Tensor = self.channel_output(read).sigmoid()
        return weights

    def _position(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """(N, 1, *positions)."""
        # The mean of what is linear in x is linear in the mean of x.
        query = single_precision(self.position_query(masked_mean(x, mask))).unsqueeze(1)
        value = single_precision(self.position_value(x.flatten(2).transpose(1, 2)).transpose(1, 2))
        with torch.autocast(x.device.type, enabled=False):
            if not self.compat:
                scores = query.softmax(2) @ value
            elif self.arrangement == "parallel":
                scores = masked_softmax(query @ value, kept, dim=2)
            else:
                scores = query @ masked_softmax(value, kept, dim=2)
        return F.sigmoid(scores).to(x.dtype).unflatten(2, x.shape[2:])
