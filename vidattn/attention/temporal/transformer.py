from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.affinity import attend
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError

TimeEmbedding = Literal["sinusoidal", "learned", "none"]


class TemporalTransformer(Mixer):
    """Each frame reads from the others by self-attention over time, then passes a small network.

    x₁ = x + W_o [softmax(q kᵀ / √d) v] + b_o, with q, k, v linear in LayerNorm(x + e), d = C /
    heads; y = x₁ + W₂ GELU(W₁ LayerNorm(x₁) + b₁) + b₂. e is the time embedding: sinusoidal,
    e[t, 2i] = sin(t / 10000^(2i / C)) and e[t, 2i + 1] = cos of the same; or a learned vector for
    each t. It is added inside the branch, so that y differs from x by what was learned only.

    x is (N, C, T): of a clip, `scope="time"` gives every site its own sequence; to treat frames
    as wholes, pool over space first.

    Source: Vaswani et al., Attention Is All You Need, NeurIPS 2017, with its encoding of positions,
    over time; normalised first as in Dosovitskiy et al., ViT, ICLR 2021.

    Args:
        channels: C.
        heads: must divide C.
        expansion: the network has C · expansion hidden units.
        embedding: "sinusoidal", "learned" or "none".
        most_frames: longest T that the learned embedding has vectors for; not used by others.
        causal: each frame reads from itself and those before it only.
        zero_start: the last layer of both branches starts at 0, so that y = x.
    """

    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Vaswani et al., Attention Is All You Need, NeurIPS 2017, over time"
    map_meaning: ClassVar[str] = "attention each frame received, mean over queries; sums to 1"
    ranks: tuple[int, ...] = (1,)

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        expansion: int = 4,
        embedding: TimeEmbedding = "sinusoidal",
        most_frames: int = 64,
        causal: bool = False,
        zero_start: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if embedding not in ("sinusoidal", "learned", "none"):
            raise ArgumentError(
                f"embedding: expected 'sinusoidal', 'learned' or 'none', got {embedding!r}"
            )
        self.heads, self.causal, self.embedding = heads, causal, embedding
        self.scale = (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.network_norm = nn.LayerNorm(channels)
        self.network_in = nn.Linear(channels, channels * expansion)
        self.network_out = nn.Linear(channels * expansion, channels)
        if embedding == "learned":
            self.time = nn.Parameter(torch.randn(most_frames, channels) * 0.02)
        self.starts_as_identity = zero_start
        if zero_start:
            for layer in (self.output, self.network_out):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        read = self._attention(self._timed(tokens), mask, grid)
        hidden = F.gelu(self.network_in(self.network_norm(tokens + read)))
        return read + self.network_out(hidden)

    def _attention(self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...]) -> Tensor:
        projected = self.query_key_value(self.norm(tokens))
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = attend(
            query,
            key,
            value,
            scale=self.scale,
            mask=mask,
            causal=self.causal,
            grid=grid,
            observer=self.observer,
        )
        read: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return read

    def _timed(self, tokens: Tensor) -> Tensor:
        """Tokens (N, T, C) with the time embedding added."""
        length = tokens.shape[1]
        if self.embedding == "sinusoidal":
            return tokens + sinusoids(length, tokens.shape[2], tokens)
        if self.embedding == "none":
            return tokens
        if length > len(self.time):
            raise ArgumentError(
                f"TemporalTransformer: expected x with at most {len(self.time)} frames "
                f"(most_frames), got {length}"
            )
        return tokens + self.time[:length]


def sinusoids(length: int, channels: int, like: Tensor) -> Tensor:
    """(length, channels): sines at even and cosines at odd channels, in the type of `like`."""
    # In double precision, and rounded at the end: far frames need it.
    time = torch.arange(length, device=like.device, dtype=torch.float64)
    channel = torch.arange(channels, device=like.device)
    rate = torch.exp((channel // 2).double() * (-2 * math.log(10000) / channels))
    angle = time[:, None] * rate
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).to(like.dtype)
