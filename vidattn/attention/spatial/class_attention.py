from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.affinity import mix
from vidattn.attention.head_average import average_heads
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.attention.spatiotemporal.encoder_block import FeedForward
from vidattn.errors import ArgumentError


class ClassAttention(Mechanism):
    """One vector from all positions: a learned class token reads from them, layer by layer.

    Each layer: z ← z + λ₁ · W_o [softmax(q kᵀ / √d) v], with q linear in LN(z), k and v linear in
    LN of z and of all positions, d = C / heads; z ← z + λ₂ · MLP(LN(z)). The positions stay as
    they are. The weights are those of the last layer, means over the heads, without what the
    token kept for itself; the features weigh v, not x.

    (N, C, *positions) -> features (N, C), weights and scores (N, *positions).

    Source: Touvron et al., Going Deeper with Image Transformers (CaiT), ICCV 2021
    (https://arxiv.org/abs/2103.17239), section 3. Theirs starts λ, a number for each channel,
    at 10⁻⁵, so that a new one hardly depends on x; here there is none unless `layer_scale`.

    Args:
        channels: C.
        heads: must divide C.
        depth: number of layers; the paper has 2.
        hidden_channels: of the MLPs; None for 4 C.
        layer_scale: what λ starts at; None for no λ.
        bias: of q, k and v; theirs have it.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Touvron et al., Going Deeper with Image Transformers (CaiT), ICCV 2021"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = (
        "attention of the class token in the last layer, mean over heads; sums to 1"
    )
    weighs_input: ClassVar[bool] = False

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        depth: int = 2,
        hidden_channels: int | None = None,
        layer_scale: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if depth < 1:
            raise ArgumentError(f"depth: expected at least 1, got {depth}")
        self.token = nn.Parameter(torch.empty(channels))
        nn.init.trunc_normal_(self.token, std=0.02)
        self.layers = nn.ModuleList(
            ClassAttentionLayer(
                channels,
                heads=heads,
                hidden_channels=4 * channels if hidden_channels is None else hidden_channels,
                layer_scale=layer_scale,
                bias=bias,
            )
            for _ in range(depth)
        )
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, *positions) -> features (N, C), weights and scores (N, *positions)."""
        self.check_rank(x)
        positions = zero_padding(x, mask).flatten(2).transpose(1, 2)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        token = self.token.expand(x.shape[0], 1, -1)
        logits = token
        for layer in self.layers:
            token, logits = layer(torch.cat((token, positions), 1), kept)
        features = token.squeeze(1)
        weights, scores = average_heads(logits, kept)
        if kept is not None:
            features = features.masked_fill(~kept.any(1, keepdim=True), 0)
        weights = weights.unflatten(1, x.shape[2:])
        self.observer(weights.unsqueeze(1), x.shape[2:])
        scores = lowest_at_padding(scores, kept).unflatten(1, x.shape[2:])
        return Pooled(features, weights, scores)


class ClassAttentionLayer(nn.Module):
    """A token reads from itself and from positions, which do not change.

    Args:
        channels, heads, hidden_channels, layer_scale, bias: see `ClassAttention`.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        hidden_channels: int,
        layer_scale: float | None,
        bias: bool,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels, bias=bias)
        self.key_value = nn.Linear(channels, 2 * channels, bias=bias)
        self.output = nn.Linear(channels, channels)
        self.feed_forward = FeedForward(channels, hidden_channels)
        self.scales = nn.ParameterList()
        if layer_scale is not None:
            self.scales.extend(torch.full((channels,), layer_scale) for _ in range(2))

    def forward(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Read once.

        Args:
            tokens: (N, 1 + L, C), the class token before the positions.
            mask: bool (N, L); False positions are not read from.

        Returns:
            the new class token (N, 1, C), and the logits with which it read from the positions,
            (N, heads, L).
        """
        seen = self.norm(tokens)
        query = self.query(seen[:, :1]).unflatten(2, (self.heads, -1)).transpose(1, 2)
        projected = self.key_value(seen).unflatten(2, (2, self.heads, -1))
        key, value = projected.permute(2, 0, 3, 1, 4)
        query = query * self.scale
        kept = None if mask is None else nn.functional.pad(mask, (1, 0), value=True)
        mixed = mix(query, key, value, kept)
        token = tokens[:, :1] + self._scaled(self.output(mixed.transpose(1, 2).flatten(2)), 0)
        token = token + self._scaled(self.feed_forward(token), 1)
        return token, (query @ key[:, :, 1:].transpose(2, 3)).squeeze(2)

    def _scaled(self, added: Tensor, which: int) -> Tensor:
        return added * self.scales[which] if self.scales else added
