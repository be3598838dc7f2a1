from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class Linformer(Mixer):
    """Every position reads from a few learned sums of all positions: cost grows with L.

    y = x + W_o [softmax(q (E k)ᵀ / √d) (F v)] + b_o, with q, k, v linear in LayerNorm(x), d = C /
    heads, and E and F learned, of K rows and one column for each position, the same for all
    heads. They tie it to one size of x. The weights of the positions are those of the
    product softmax(…) F, of either sign.

    Source: Wang et al., Linformer, arXiv 2006.04768 (https://arxiv.org/abs/2006.04768), equation
    7, with what it calls headwise sharing.

    Args:
        channels: C.
        grid: sizes of the position axes of x.
        spatial_dims: number of position axes of x.
        heads: must divide C.
        rows: K.
        share: F = E, what the paper calls key-value sharing.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Wang et al., Linformer, arXiv 2006.04768"
    map_meaning: ClassVar[str] = (
        "weight with which each position was read, mean over queries, of either sign"
    )
    fixed_size: ClassVar[bool] = True
    weights_sum_to_one: ClassVar[bool] = False

    def __init__(
        self,
        channels: int,
        *,
        grid: Sequence[int],
        spatial_dims: int = 3,
        heads: int = 8,
        rows: int = 32,
        share: bool = False,
    ) -> None:
        super().__init__()
        if len(grid) != spatial_dims or any(size < 1 for size in grid):
            raise ArgumentError(f"grid: expected {spatial_dims} positive sizes, got {grid}")
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if rows < 1:
            raise ArgumentError(f"rows: expected at least 1, got {rows}")
        self.ranks = (spatial_dims,)
        self.grid = tuple(grid)
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.key_rows = nn.Parameter(torch.empty(rows, prod(grid)))
        self.value_rows = None if share else nn.Parameter(torch.empty(rows, prod(grid)))
        self.output = nn.Linear(channels, channels)
        for table in (self.key_rows, self.value_rows):
            if table is not None:
                nn.init.normal_(table, std=rows**-0.5)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        if tuple(grid) != self.grid:
            raise ArgumentError(
                f"Linformer: expected x with positions {self.grid}, got {tuple(grid)}"
            )
        projected = self.query_key_value(self.norm(tokens))
        if mask is not None:
            projected = projected.masked_fill(~mask.unsqueeze(2), 0)
        # (N, L, 3·C) -> three of (N, heads, L, d)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        with torch.autocast(tokens.device.type, enabled=False):
            query, key, value = (single_precision(part) for part in (query, key, value))
            key_rows = self.key_rows.to(key.dtype)
            value_rows = key_rows if self.value_rows is None else self.value_rows.to(key.dtype)
            shares = ((query * self.scale) @ (key_rows @ key).transpose(2, 3)).softmax(3)
            if self.observer.recording:
                self._show(shares.detach(), value_rows.detach(), mask)
            mixed = shares @ (value_rows @ value)
        return self.output(mixed.to(projected.dtype).transpose(1, 2).flatten(2))

    def _show(self, shares: Tensor, rows: Tensor, mask: Tensor | None) -> None:
        """Hand the observer what the positions' values were multiplied by."""
        count: Tensor | int = shares.shape[2]
        weights = rows[None, None]
        if mask is not None:
            shares = shares.masked_fill(~mask[:, None, :, None], 0)
            weights = weights.masked_fill(~mask[:, None, None], 0)
            count = mask.sum(1).clamp(min=1)[:, None, None, None]
        received = (shares.sum(2, keepdim=True) / count) @ weights
        whole = shares @ weights if self.observer.wants_affinity else None
        self.observer(received.squeeze(2).unflatten(2, self.grid), self.grid, affinity=whole)
