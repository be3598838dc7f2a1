from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import cos, pi, sin
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.spatial.sampling import splat
from vidattn.errors import ArgumentError


class MultiScaleDeformableAttention(Mechanism):
    """Every position reads a few points, which it chooses, of x and of coarser feature maps.

    y = x + W_o [Σ_l Σ_k a_lk v_l(r + Δ_lk)] + b_o in each head, with v = W_v x + b_v of each
    level, Δ (in positions of its level) and a linear in x at the query, a a softmax over all
    levels and points, r the query's place in the frame. v is sampled bilinearly, 0 outside and at
    padding. New ones look round in a ring, each head in its own direction. Time and memory grow
    with L times levels times points. Only for images and frames: places are relative to a size,
    which for a clip would be its length.

    Source: Zhu et al., Deformable DETR, ICLR 2021, without position embeddings.

    Args:
        channels: C, of all levels.
        levels: x and as many less one maps in `context`.
        heads: must divide C.
        points: that a head reads on each level.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Zhu et al., Deformable DETR, ICLR 2021"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = (
        "how much was read at each place of the frame, on all levels: weights shared among the "
        "positions around each point, mean over queries"
    )
    context_meaning: ClassVar[str | None] = (
        "the other levels, (N, C, *any positions): a tensor for one, a sequence for more"
    )
    ranks: tuple[int, ...] = (2,)

    def __init__(self, channels: int, *, levels: int = 2, heads: int = 8, points: int = 4) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if levels < 1 or points < 1:
            raise ArgumentError(f"levels, points: expected at least 1, got {levels}, {points}")
        self.levels, self.heads, self.points = levels, heads, points
        self.value = nn.Linear(channels, channels)
        self.offset = nn.Linear(channels, heads * levels * points * 2)
        self.weight = nn.Linear(channels, heads * levels * points)
        self.output = nn.Linear(channels, channels)
        self.observer = Observer(self.map_kind)
        self._start_in_a_ring()

    @torch.no_grad()
    def _start_in_a_ring(self) -> None:
        for part in (self.offset.weight, self.weight.weight, self.weight.bias):
            nn.init.zeros_(part)
        angles = [2 * pi * head / self.heads for head in range(self.heads)]
        ring = torch.tensor([[cos(angle), sin(angle)] for angle in angles])
        ring = ring / ring.abs().amax(1, keepdim=True)
        steps = torch.arange(1, self.points + 1)
        start = ring[:, None, None] * steps[:, None]
        self.offset.bias.copy_(start.expand(-1, self.levels, -1, -1).flatten())
        for layer in (self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        self.check_rank(x)
        others = self._others(context)
        read = zero_padding(x, mask)
        tokens = read.flatten(2).transpose(1, 2)
        layout = (self.heads, self.levels, self.points)
        offsets = single_precision(self.offset(tokens)).unflatten(2, (*layout, 2))
        logits = single_precision(self.weight(tokens)).unflatten(2, (self.heads, -1))
        weights = logits.softmax(3).unflatten(3, layout[1:])
        values = [zero_padding(self._valued(read), mask), *(self._valued(one) for one in others)]
        places = self._places(offsets, x.shape[2:], [one.shape[2:] for one in values])
        if self.observer.recording:
            self._show(torch.stack(places, 3).detach(), weights.detach(), mask, x.shape[2:])
        read = reduce(
            torch.add,
            (
                self._read(value, place, weights[:, :, :, level])
                for level, (value, place) in enumerate(zip(values, places, strict=True))
            ),
        )
        added = self.output(read.to(x.dtype)).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + zero_padding(added, mask)

    def _others(self, context: Any) -> Sequence[Tensor]:
        """The levels after the first."""
        given = [context] if isinstance(context, Tensor) else list(context or ())
        if len(given) != self.levels - 1:
            raise ArgumentError(
                f"context: expected {self.levels - 1} further levels, got {len(given)}"
            )
        return given

    def _valued(self, level: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, through W_v."""
        value: Tensor = self.value(level.flatten(2).transpose(1, 2))
        return value.transpose(1, 2).unflatten(2, level.shape[2:])

    def _places(
        self, offsets: Tensor, grid: Sequence[int], sizes: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """For each level (N, L, heads, points, 2): column and row, 0 to 1 across the frame."""
        ends = [
            (torch.arange(size, device=offsets.device, dtype=offsets.dtype) + 0.5) / size
            for size in grid
        ]
        rows, columns = torch.meshgrid(*ends, indexing="ij")
        reference = torch.stack([columns, rows], dim=-1).flatten(0, 1)[:, None, None]
        places = []
        for level, (height, width) in enumerate(sizes):
            columns, rows = offsets[:, :, :, level].unbind(-1)
            places.append(reference + torch.stack([columns / width, rows / height], dim=-1))
        return places

    def _read(self, value: Tensor, places: Tensor, weights: Tensor) -> Tensor:
        """Σ_k a_k v(place_k) of one level: (N, L, C)."""
        value = single_precision(value).unflatten(1, (self.heads, -1)).flatten(0, 1)
        grid = 2 * places.transpose(1, 2).flatten(0, 1) - 1  # (N · heads, L, points, 2)
        sampled = F.grid_sample(value, grid, align_corners=False)
        weights = weights.transpose(1, 2).flatten(0, 1).unsqueeze(1)
        mixed = (sampled * weights).sum(3)
        return mixed.unflatten(0, (-1, self.heads)).flatten(1, 2).transpose(1, 2)

    def _show(
        self, places: Tensor, weights: Tensor, mask: Tensor | None, grid: Sequence[int]
    ) -> None:
        height, width = grid
        count: Tensor | int = height * width
        if mask is not None:
            mask = mask.expand(places.shape[0], 1, height, width)
            weights = weights * mask.flatten(1)[:, :, None, None, None]
            count = mask.sum((2, 3), keepdim=True).clamp(min=1)
        columns, rows = places.unbind(-1)
        points = torch.stack([rows * height - 0.5, columns * width - 0.5], dim=-1)
        points, weights = points.transpose(1, 2).flatten(2, 4), weights.transpose(1, 2).flatten(2)
        self.observer(
            zero_padding(splat(points, weights, height, width) / count, mask), tuple(grid)
        )
