from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.mechanism import Replacement
from vidattn.attention.observe import MapKind
from vidattn.attention.spatial.distances import distance_logits
from vidattn.attention.spatial.windows import window_sizes
from vidattn.errors import ArgumentError

AXES = {1: "T", 2: "HW", 3: "THW"}
SIZES = {1: (64,), 2: (56, 56), 3: (32, 56, 56)}


class BottleneckTransformer(Replacement):
    """Attention in place of a bottleneck's convolution: by content and by how far apart they are.

    y = softmax((q kᵀ + q · (r^T + r^H + r^W)) / √d) v, with q, k, v linear in x, d = C / heads
    and each r learned for the distances along one axis; without output projection and without
    residual, which the bottleneck has. Time and memory grow with L².

    Source: Srinivas et al., Bottleneck Transformers (BoTNet), CVPR 2021
    (https://arxiv.org/abs/2101.11605), figure 4. Where the paper strides, pool y by 2.

    Args:
        channels: C.
        spatial_dims: number of position axes of x; the paper has 2.
        heads: must divide C.
        bias: of q, k and v; the paper's code has none.
        size: largest sizes of x; None for 32 × 56 × 56 or the last two, 64 in 1-D.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Srinivas et al., Bottleneck Transformers (BoTNet), CVPR 2021"
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        heads: int = 4,
        bias: bool = False,
        size: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__(spatial_dims=spatial_dims, stride=(1,) * spatial_dims)
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.size = window_sizes("size", size, SIZES[spatial_dims])
        self.query_key_value = nn.Linear(channels, 3 * channels, bias=bias)
        self.relative = nn.ParameterDict()
        for axis, one in zip(AXES[spatial_dims], self.size, strict=True):
            self.relative[axis] = nn.Parameter(torch.empty(2 * one - 1, channels // heads))
            nn.init.normal_(self.relative[axis], std=self.scale)

    def convolve(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """See `Replacement.convolve`."""
        grid = x.shape[2:]
        projected = self.query_key_value(x.flatten(2).transpose(1, 2))
        # (N, L, 3·C) -> three of (N, heads, L, d)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        real = None if mask is None else mask.expand(x.shape[0], 1, *grid).flatten(1)
        with torch.autocast(x.device.type, enabled=False):
            query = single_precision(query) * self.scale
            scores = query @ single_precision(key).transpose(2, 3)
            scores = scores + self._relative(query, grid)
            shares = masked_softmax(scores, None if real is None else real[:, None, None], dim=3)
        if self.observer.recording:
            self._show(shares.detach(), real, grid)
        mixed = shares.to(value.dtype) @ value
        return mixed.transpose(2, 3).flatten(1, 2).unflatten(2, grid)

    def _relative(self, query: Tensor, grid: Sequence[int]) -> Tensor:
        """(N, heads, L, d) -> (N, heads, L, L)."""
        rows = []
        for table, size, most in zip(self.relative.values(), grid, self.size, strict=True):
            if size > most:
                raise ArgumentError(f"size: expected at least {tuple(grid)}, got {self.size}")
            places = torch.arange(size, device=query.device)
            rows.append(table.to(query.dtype)[places - places[:, None] + most - 1])
        return distance_logits(query.unflatten(2, tuple(grid)), rows)

    def _show(self, shares: Tensor, real: Tensor | None, grid: Sequence[int]) -> None:
        if real is not None:
            shares = shares.masked_fill(~real[:, None, :, None], 0)
        count = shares.shape[2] if real is None else real.sum(1).clamp(min=1)[:, None, None]
        values = (shares.sum(2) / count).unflatten(2, tuple(grid))
        self.observer(
            values, tuple(grid), affinity=shares if self.observer.wants_affinity else None
        )
