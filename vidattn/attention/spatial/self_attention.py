from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.affinity import attend
from vidattn.attention.mechanism import Mixer
from vidattn.attention.rotary import RotaryPositions
from vidattn.errors import ArgumentError


class SelfAttention(Mixer):
    """Every position reads from every other: multi-head scaled dot-product attention.

    y = x + W_o [softmax(q kᵀ / √d) v] + b_o, with q, k, v linear in LayerNorm(x), d = C / heads.
    There is no position encoding unless `rotary`: permuting the positions permutes the result.
    Time and memory grow with L² and L (the fused kernel holds no L × L matrix), L being the
    number of positions.

    Source: Vaswani et al., Attention Is All You Need, NeurIPS 2017, multi-head attention;
    normalised first as in Dosovitskiy et al., ViT, ICLR 2021.

    Args:
        channels: C.
        heads: must divide C.
        zero_start: W_o and b_o start at 0, so that y = x.
        rotary: turn q and k by their positions; see `RotarySelfAttention`.
        registers: learned tokens to read from besides; see `RegisterSelfAttention`.
        gated: weigh what the heads return; see `GatedSelfAttention`.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = (
        "Vaswani et al., Attention Is All You Need, NeurIPS 2017; "
        "Dosovitskiy et al., ViT, ICLR 2021"
    )
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        zero_start: bool = False,
        rotary: bool = False,
        registers: int = 0,
        gated: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if registers < 0:
            raise ArgumentError(f"registers: expected 0 or more, got {registers}")
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.rotary = RotaryPositions(channels // heads) if rotary else None
        self.registers = nn.Parameter(torch.empty(registers, channels)) if registers else None
        self.gate = nn.Linear(channels, channels) if gated else None
        if self.registers is not None:
            nn.init.normal_(self.registers, std=1e-6)
        self.starts_as_identity = zero_start
        if zero_start:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        normed = self.norm(tokens)
        query, key, value = self.split_heads(self.query_key_value(normed))
        if self.rotary is not None:
            query, key = self.rotary(query, grid), self.rotary(key, grid)
        if self.registers is not None:
            key, value = self.with_registers(self.registers, key, value)
        mixed = attend(
            query,
            key,
            value,
            scale=self.scale,
            mask=mask,
            grid=grid,
            observer=self.observer,
            registers=0 if self.registers is None else len(self.registers),
        )
        mixed = mixed.transpose(1, 2).flatten(2)
        if self.gate is not None:
            mixed = mixed * self.gate(normed).sigmoid()
        return self.output(mixed)

    def split_heads(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, L, 3·C) -> query, key and value, each (N, heads, L, d)."""
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def with_registers(
        self, registers: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keys and values with those of the registers behind them."""
        projected = self.query_key_value(self.norm(registers)).expand(key.shape[0], -1, -1)
        _, extra_key, extra_value = self.split_heads(projected)
        return torch.cat((key, extra_key), 2), torch.cat((value, extra_value), 2)
