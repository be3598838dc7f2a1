from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.affinity import affinities, mix, received, refuse_what_cannot_fit
from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class DifferentialAttention(Mixer):
    """Two attentions a head, the second taken from the first: what both see everywhere cancels.

    A = softmax(q₁ k₁ᵀ / √d) − λ softmax(q₂ k₂ᵀ / √d), y = x + W_o [(1 − λ₀) RMSNorm(A v)] + b_o,
    λ = exp(λ_q₁ · λ_k₁) − exp(λ_q₂ · λ_k₂) + λ₀, with q₁, q₂, k₁, k₂ of width d = C / (2 heads)
    and v of 2 d linear in LayerNorm(x), without biases, λ's shared by the heads. Weights may be
    negative; each row sums to 1 − λ.

    Source: Ye et al., Differential Transformer, ICLR 2025.

    Args:
        channels: C.
        heads: 2 heads must divide C.
        depth: number of the layer in its network, from 0: λ₀ = 0.8 − 0.6 exp(−0.3 depth).
    """

    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Ye et al., Differential Transformer, ICLR 2025"
    map_meaning: ClassVar[str] = (
        "attention each position received, the second's taken off, mean over queries"
    )
    weights_sum_to_one: ClassVar[bool] = False

    def __init__(self, channels: int, *, heads: int = 4, depth: int = 0) -> None:
        super().__init__()
        if heads < 1 or channels % (2 * heads):
            raise ArgumentError(
                f"heads: expected a divisor of half of {channels} channels, got {heads}"
            )
        width = channels // heads // 2
        self.heads = heads
        self.scale = width**-0.5
        self.start = 0.8 - 0.6 * math.exp(-0.3 * depth)
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels, bias=False)
        # λ_q₁, λ_k₁, λ_q₂, λ_k₂
        self.balance = nn.Parameter(torch.empty(4, width))
        nn.init.normal_(self.balance, std=0.1)
        self.head_norm = nn.RMSNorm(2 * width, eps=1e-5)
        self.output = nn.Linear(channels, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        query, key, value = self.query_key_value(self.norm(tokens)).chunk(3, dim=2)
        # Two of (N, heads, L, d), for the two attentions.
        queries = (query * self.scale).unflatten(2, (self.heads, 2, -1)).permute(3, 0, 2, 1, 4)
        keys = key.unflatten(2, (self.heads, 2, -1)).permute(3, 0, 2, 1, 4)
        value = value.unflatten(2, (self.heads, -1)).transpose(1, 2)
        factor = self.factor()
        if self.observer.recording:
            self._show(queries, keys, factor, mask, grid)
        first, second = (
            mix(one, other, value, mask) for one, other in zip(queries, keys, strict=True)
        )
        exact = single_precision(first) - factor * single_precision(second)
        shape, weight = self.head_norm.normalized_shape, self.head_norm.weight.to(exact.dtype)
        mixed = F.rms_norm(exact, shape, weight, self.head_norm.eps) * (1 - self.start)
        mixed = mixed.to(value.dtype)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def factor(self) -> Tensor:
        """λ, float32 at least."""
        query_1, key_1, query_2, key_2 = single_precision(self.balance)
        return (query_1 * key_1).sum().exp() - (query_2 * key_2).sum().exp() + self.start

    def _show(
        self,
        queries: Tensor,
        keys: Tensor,
        factor: Tensor,
        mask: Tensor | None,
        grid: tuple[int, ...],
    ) -> None:
        """Hand the difference of the two attentions to the observer."""
        factor = factor.detach()
        pairs = list(zip(queries, keys, strict=True))
        whole = None
        if self.observer.wants_affinity:
            refuse_what_cannot_fit(queries.flatten(0, 1), keys.flatten(0, 1))
            one, other = (affinities(query, key, mask) for query, key in pairs)
            whole = one - factor * other
        one, other = (received(query, key, mask) for query, key in pairs)
        self.observer((one - factor * other).unflatten(2, grid), grid, affinity=whole)
