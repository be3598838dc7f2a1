from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.affinity import attend
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class SelfAttention(Mixer):
    """Every position reads from every other: multi-head scaled dot-product attention.

    y = x + W_o [softmax(q kᵀ / √d) v] + b_o, with q, k, v linear in LayerNorm(x), d = C / heads.
    There is no position encoding: permuting the positions permutes the result. Time and memory
    grow with L² and L (the fused kernel holds no L × L matrix), L being the number of positions.

    Source: Vaswani et al., NeurIPS 2017, equation 1 and section 3.2.2; normalised first as in
    Dosovitskiy et al., ICLR 2021, equation 2.

    Args:
        channels: C.
        heads: must divide C.
        zero_start: W_o and b_o start at 0, so that y = x.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = (
        "Vaswani et al., NeurIPS 2017, equation 1; Dosovitskiy et al., ICLR 2021, equation 2"
    )
    aliases: ClassVar[tuple[str, ...]] = ("mhsa", "multi_head_self_attention")
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(self, channels: int, *, heads: int = 8, zero_start: bool = False) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.starts_as_identity = zero_start
        if zero_start:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        projected = self.query_key_value(self.norm(tokens))
        # (N, L, 3·C) -> three of (N, heads, L, d)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = attend(
            query, key, value, scale=self.scale, mask=mask, grid=grid, observer=self.observer
        )
        return self.output(mixed.transpose(1, 2).flatten(2))
