from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.head_average import average_heads
from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.attention.spatiotemporal.encoder_block import FeedForward
from vidattn.errors import ArgumentError


class AttentiveProbe(Mechanism):
    """One vector from all positions, read by a learned query: what frozen features are judged by.

    z = u + [softmax(q kᵀ / √d) v], with u the learned query, q linear in u, k and v linear in
    LayerNorm(x), d = C / heads, without an output projection; features = z + MLP(LayerNorm(z)).
    The weights are means over the heads; the features weigh v, not x.

    (N, C, *positions) -> features (N, C), weights and scores (N, *positions).

    Source: Assran et al., V-JEPA 2, 2025, its attentive probe, without further layers before it;
    the idea is Lee et al., Set Transformer, ICML 2019.

    Args:
        channels: C.
        heads: must divide C.
        hidden_channels: of the MLP; None for 4 C.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Assran et al., V-JEPA 2, 2025; Lee et al., Set Transformer, ICML 2019"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "attention of the learned query, mean over heads; sums to 1"
    weighs_input: ClassVar[bool] = False

    def __init__(
        self, channels: int, *, heads: int = 8, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.probe = nn.Parameter(torch.empty(channels))
        nn.init.trunc_normal_(self.probe, std=0.02)
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.feed_forward = FeedForward(
            channels, 4 * channels if hidden_channels is None else hidden_channels
        )
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, *positions) -> features (N, C), weights and scores (N, *positions)."""
        self.check_rank(x)
        tokens = zero_padding(x, mask).flatten(2).transpose(1, 2)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        # (N, L, 2·C) -> two of (N, heads, L, d)
        projected = self.key_value(self.norm(tokens)).unflatten(2, (2, self.heads, -1))
        key, value = projected.permute(2, 0, 3, 1, 4)
        query = (self.query(self.probe) * self.scale).unflatten(0, (self.heads, 1, -1))
        logits = single_precision(query @ key.transpose(2, 3))
        if kept is not None:
            logits = logits.masked_fill(~kept[:, None, None], torch.finfo(logits.dtype).min)
        read = (logits.softmax(3).to(value.dtype) @ value).flatten(1)
        features = self.probe + read
        features = features + self.feed_forward(features)

        weights, scores = average_heads(logits.squeeze(2), kept)
        if kept is not None:
            features = features.masked_fill(~kept.any(1, keepdim=True), 0)
        weights = weights.unflatten(1, x.shape[2:])
        self.observer(weights.unsqueeze(1), x.shape[2:])
        scores = lowest_at_padding(scores, kept).unflatten(1, x.shape[2:])
        return Pooled(features, weights, scores)
