from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.affinity import affinities, mix, refuse_what_cannot_fit
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Mixer
from vidattn.attention.observe import MapKind
from vidattn.errors import ArgumentError


class CrossAttention(Mixer):
    """Every position reads from another input: words, queries, another stream, other frames.

    y = x + W_o [softmax(q kᵀ / √d) v] + b_o, with q linear in LayerNorm(x), k and v linear in
    LayerNorm(context), d = C / heads. There is no position encoding. Where a sample's context is
    padding only, nothing is read: y = x + b_o.

    The map has one channel for each position of the context: what share of its reading each
    position of x took from there. It takes heads · L · K numbers.

    Source: Vaswani et al., Attention Is All You Need, NeurIPS 2017, encoder-decoder attention
    (https://arxiv.org/abs/1706.03762); normalised first.

    Args:
        channels: C.
        context_channels: those of the context; None for C.
        heads: must divide C.
        zero_start: W_o and b_o start at 0, so that y = x.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Vaswani et al., Attention Is All You Need, NeurIPS 2017"
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = (
        "share that each position read from each of the context, mean over heads; a position's "
        "shares sum to 1"
    )
    context_meaning: ClassVar[str | None] = (
        "what to read from (N, context_channels, *any positions), or a pair of it and its mask, "
        "bool, broadcastable to (N, 1, *those positions)"
    )

    def __init__(
        self,
        channels: int,
        *,
        context_channels: int | None = None,
        heads: int = 8,
        zero_start: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.context_channels = channels if context_channels is None else context_channels
        self.norm = nn.LayerNorm(channels)
        self.context_norm = nn.LayerNorm(self.context_channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(self.context_channels, 2 * channels)
        self.output = nn.Linear(channels, channels)
        self.starts_as_identity = zero_start
        if zero_start:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        read, kept = self._context(context, tokens.shape[0])
        query = self.query(self.norm(tokens)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        # (N, K, 2·C) -> two of (N, heads, K, d)
        projected = self.key_value(self.context_norm(read)).unflatten(2, (2, self.heads, -1))
        key, value = projected.permute(2, 0, 3, 1, 4)
        query = query * self.scale
        if self.observer.recording:
            self._show(query.detach(), key.detach(), mask, kept, grid)
        mixed = mix(query, key, value, kept)
        if kept is not None:
            mixed = mixed.masked_fill(~kept.any(1)[:, None, None, None], 0)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _context(self, context: Any, batch: int) -> tuple[Tensor, Tensor | None]:
        """What is read from, (N, K, channels), 0 at padding, and its mask, (N, K)."""
        read, mask = context if isinstance(context, tuple | list) else (context, None)
        if not isinstance(read, Tensor) or read.ndim < 3:
            raise ArgumentError(f"CrossAttention: expected context, {self.context_meaning}")
        if read.shape[0] != batch or read.shape[1] != self.context_channels:
            raise ArgumentError(
                f"CrossAttention: expected context of {batch} samples and "
                f"{self.context_channels} channels, got {tuple(read.shape)}"
            )
        tokens = zero_padding(read, mask).flatten(2).transpose(1, 2)
        if mask is None:
            return tokens, None
        return tokens, mask.expand(read.shape[0], 1, *read.shape[2:]).flatten(1)

    def _show(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        kept: Tensor | None,
        grid: tuple[int, ...],
    ) -> None:
        refuse_what_cannot_fit(query, key)
        rows = affinities(query, key, kept)
        if mask is not None:
            rows = rows.masked_fill(~mask[:, None, :, None], 0)
        shares = rows.mean(1).transpose(1, 2).unflatten(2, grid)
        self.observer(shares, grid, affinity=rows if self.observer.wants_affinity else None)
