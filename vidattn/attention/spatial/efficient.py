from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.attention.spatial.linear import associate
from vidattn.errors import ArgumentError


class EfficientAttention(Mixer):
    """A few maps over all positions gather values, and every position mixes what they gathered.

    y = x + W_o [ρ_q(q) (ρ_k(k)ᵀ v)] + b_o, with q, k, v linear in x; in each head ρ_q is a
    softmax over the channels, ρ_k one over the positions. The rows of ρ_q ρ_kᵀ sum to 1. Time
    and memory grow with L.

    Source: Shen et al., Efficient Attention, WACV 2021.

    Args:
        channels: C.
        key_channels: of q and k together; None for C.
        heads: must divide C and the key channels.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Shen et al., Efficient Attention, WACV 2021"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(self, channels: int, *, key_channels: int | None = None, heads: int = 8) -> None:
        super().__init__()
        keys = key_channels or channels
        if heads < 1 or channels % heads or keys % heads:
            raise ArgumentError(
                f"heads: expected a divisor of {channels} channels and {keys} key channels, "
                f"got {heads}"
            )
        self.heads = heads
        self.query = nn.Linear(channels, keys)
        self.key = nn.Linear(channels, keys)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        # (N, L, C) -> (N, heads, L, d)
        query, key, value = (
            embed(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for embed in (self.query, self.key, self.value)
        )
        query = single_precision(query).softmax(3)
        kept = None if mask is None else mask[:, None, :, None]
        key = masked_softmax(key, kept, dim=2)
        if kept is not None:
            query = query.masked_fill(~kept, 0)
        mixed = associate(query, key, value, grid, self.observer).to(value.dtype)
        return self.output(mixed.transpose(1, 2).flatten(2))
