from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import kernel_sizes
from vidattn.attention.masking import masked_softmax, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.spatial.sampling import splat
from vidattn.attention.spatial.windows import window_sizes
from vidattn.errors import ArgumentError


class DeformableAttention(Mechanism):
    """Every position reads from the same few points, which x itself moves to where it matters.

    z = LayerNorm(x), q = W_q z; Δ = s tanh(W GELU(LayerNorm(D ∗ q))) in each group of channels,
    with a depth-wise convolution D of some stride, whose outputs are the points; k, v linear in z
    sampled at r + Δ; y = x + W_o [softmax(q kᵀ / √d + B) v] + b_o. B is read from a learned table
    at half the displacement of query and point. Places go from −1 to 1 between the outer
    positions; r_i = 2 (i + ½) / (n − 1) − 1, s = range / (n − 1) for n points along an axis. Time
    and memory grow with L² / stride². Only for images and frames: places are relative to a
    size, which for a clip would be its length.

    Source: Xia et al., Vision Transformer with Deformable Attention, CVPR 2022; r and half
    displacements as in the authors' code.

    Args:
        channels: C.
        heads: must divide C.
        groups: of channels with points of their own; must divide the heads.
        kernel: odd size of D.
        stride: of D.
        offset_range: how far a point may move, in half distances between points.
        size: the table has 2·size − 1 rows and columns: the usual sizes of x; any other works.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Xia et al., Vision Transformer with Deformable Attention, CVPR 2022"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = (
        "how much was read at each position: weights shared among the positions around each "
        "point, mean over queries"
    )
    ranks: tuple[int, ...] = (2,)

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        groups: int = 4,
        kernel: int = 5,
        stride: int = 2,
        offset_range: float = 2.0,
        size: int | tuple[int, int] = 14,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads or groups < 1 or heads % groups:
            raise ArgumentError(
                f"heads, groups: expected heads to divide {channels} channels and groups to "
                f"divide heads, got {heads}, {groups}"
            )
        kernel_sizes("kernel", kernel, 1)
        self.heads, self.groups, self.offset_range = heads, groups, offset_range
        width = channels // groups
        self.norm = nn.LayerNorm(channels)
        self.query, self.key, self.value, self.output = (
            nn.Linear(channels, channels) for _ in range(4)
        )
        padding = kernel // 2 if kernel != stride else 0
        self.look = nn.Conv2d(width, width, kernel, stride, padding, groups=width)
        self.look_norm = nn.LayerNorm(width)
        self.offset = nn.Linear(width, 2, bias=False)
        rows, columns = window_sizes("size", size, (14, 14))
        self.position_bias = nn.Parameter(torch.empty(1, heads, 2 * rows - 1, 2 * columns - 1))
        nn.init.trunc_normal_(self.position_bias, std=0.01)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        self.check_rank(x)
        grid = x.shape[2:]
        normed = self.norm(zero_padding(x, mask).flatten(2).transpose(1, 2))
        query = self.query(normed)
        points = self._points(zero_padding(_as_map(query, grid), mask))
        samples = self._sample(zero_padding(_as_map(normed, grid), mask), points)
        samples = samples.unflatten(0, (-1, self.groups)).flatten(1, 2).transpose(1, 2)
        samples = samples.to(normed.dtype)
        # (N, L, C) -> (N, heads, L, d)
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (query, self.key(samples), self.value(samples))
        )
        kept = None if mask is None else self._kept(mask.expand(x.shape[0], 1, *grid), points)
        scores = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)
        weights = masked_softmax(single_precision(scores) + self._bias(points, grid), kept, dim=3)
        if self.observer.recording:
            self._show(points.detach(), weights.detach(), mask, grid)
        mixed = weights.to(value.dtype) @ value
        added = _as_map(self.output(mixed.transpose(1, 2).flatten(2)), grid)
        return x + zero_padding(added, mask)

    def _points(self, query: Tensor) -> Tensor:
        """(N, C, H, W) -> (N · groups, rows, columns of points, 2): row and column, −1 to 1."""
        seen = self.look(query.unflatten(1, (self.groups, -1)).flatten(0, 1))
        moves = self.offset(F.gelu(self.look_norm(seen.movedim(1, -1))))
        moves = single_precision(moves).tanh() * self.offset_range
        axes, scales = [], []
        for count in seen.shape[2:]:
            span = max(1, count - 1)
            steps = torch.arange(count, device=moves.device, dtype=moves.dtype)
            axes.append(2 * (steps + 0.5) / span - 1)
            scales.append(1 / span)
        moves = torch.stack([moves[..., axis] * scale for axis, scale in enumerate(scales)], dim=-1)
        return moves + torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)

    def _sample(self, x: Tensor, points: Tensor) -> Tensor:
        """(N, C, H, W) -> (N · groups, C / groups, points)."""
        x = single_precision(x).unflatten(1, (self.groups, -1)).flatten(0, 1)
        return F.grid_sample(x, points.flip(-1), align_corners=True).flatten(2)

    def _bias(self, points: Tensor, grid: Sequence[int]) -> Tensor:
        """(N, heads, L, points)."""
        axes = []
        for size in grid:
            steps = torch.arange(size, device=points.device, dtype=points.dtype)
            axes.append(2 * steps / max(1, size - 1) - 1)
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
        moves = (places[:, None] - points.flatten(1, 2)[:, None]) / 2
        table = self.position_bias.to(moves.dtype).unflatten(1, (self.groups, -1))
        table = table.expand(moves.shape[0] // self.groups, -1, -1, -1, -1).flatten(0, 1)
        bias = F.grid_sample(table, moves.flip(-1), align_corners=True)
        return bias.unflatten(0, (-1, self.groups)).flatten(1, 2)

    @torch.no_grad()
    def _kept(self, mask: Tensor, points: Tensor) -> Tensor:
        """(N, heads, 1, points): those that do not lie wholly in padding."""
        padding = (~mask).to(points.dtype).expand(-1, self.groups, -1, -1).flatten(0, 1)
        share = F.grid_sample(padding.unsqueeze(1), points.flip(-1), align_corners=True)
        kept = (share < 1 - 1e-5).flatten(1).unflatten(0, (-1, self.groups))
        return kept.repeat_interleave(self.heads // self.groups, dim=1).unsqueeze(2)

    def _show(
        self, points: Tensor, weights: Tensor, mask: Tensor | None, grid: Sequence[int]
    ) -> None:
        height, width = grid
        count: Tensor | int = height * width
        if mask is not None:
            mask = mask.expand(weights.shape[0], 1, height, width)
            weights = weights * mask.flatten(2).unsqueeze(3)
            count = mask.sum((2, 3), keepdim=True).clamp(min=1)
        scale = torch.tensor([(height - 1) / 2, (width - 1) / 2], device=points.device)
        places = ((points.flatten(1, 2) + 1) * scale).unflatten(0, (-1, self.groups))
        places = places.repeat_interleave(self.heads // self.groups, dim=1)
        values = splat(places, weights.sum(2), height, width) / count
        self.observer(zero_padding(values, mask), tuple(grid))


def _as_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """(N, L, C) -> (N, C, H, W)."""
    return tokens.transpose(1, 2).unflatten(2, grid)
