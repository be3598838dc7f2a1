from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.affinity import CHUNK
from vidattn.attention.convolutions import CONVOLUTION, kernel_sizes
from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.attention.spatial.distances import distance_logits
from vidattn.attention.spatial.windows import window_sizes
from vidattn.errors import ArgumentError

AXES = {1: "T", 2: "HW", 3: "THW"}
STRIDES = {1: (2,), 2: (2, 2), 3: (1, 2, 2)}
SIZES = {1: (64,), 2: (56, 56), 3: (32, 56, 56)}


class PoolingAttention(Mixer):
    """Every position reads from keys and values that were pooled to a coarser grid.

    q, k, v = LN(P ∗ split(W LayerNorm(x))), with one depth-wise convolution P each, of stride 1
    for q; y = x + W_o [softmax(q kᵀ / √d + q · (r^T + r^H + r^W)) v + q] + b_o. Each r is
    learned for the distances along one axis, in positions of x. Version 1 has neither r nor
    the q that is added. Time and memory grow with L² divided by the strides.

    Source: Fan et al., MViT, ICCV 2021 (version 1); Li et al., MViTv2, CVPR 2022 (version 2).
    Without a class token. The stride of q, by which a network goes from one resolution to the
    next, is 1: the shape is kept. In the distances the authors' code has size / number of keys in
    place of the stride, which is the same where the stride divides, and stretches the tables of r
    to the size of x (`compat`); here a smaller x uses the middle of the tables.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        heads: must divide C; the papers have one for every 96 channels.
        kernel: odd sizes of P, one for all axes or one for each.
        stride: of P for k and v; None for 1 along T and 2 along H and W, or 2 in 1-D.
        version: 1 or 2.
        size: version 2: largest sizes of x; None for 32 × 56 × 56 or the last two, 64 in 1-D.
        compat: version 2: distances as in the authors' code, for its weights; any size of x, of
            which padding is a part: a padded clip is then another than a shorter one.
    """

    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Fan et al., MViT, ICCV 2021; Li et al., MViTv2, CVPR 2022"
    map_meaning: ClassVar[str] = (
        "attention each position received, mean over queries; pooled keys share theirs with "
        "what lies nearest; sums to 1"
    )

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        heads: int = 1,
        kernel: int | Sequence[int] = 3,
        stride: int | Sequence[int] | None = None,
        version: Literal[1, 2] = 2,
        size: int | Sequence[int] | None = None,
        compat: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if version not in (1, 2):
            raise ArgumentError(f"version: expected 1 or 2, got {version!r}")
        if compat and version == 1:
            raise ArgumentError("compat: version 1 has no distances, expected version 2 with it")
        self.compat = compat
        self.ranks = (spatial_dims,)
        self.heads, self.width = heads, channels // heads
        kernels = kernel_sizes("kernel", kernel, spatial_dims)
        self.stride = window_sizes("stride", stride, STRIDES[spatial_dims])
        self.size = window_sizes("size", size, SIZES[spatial_dims])
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.pools, self.norms = nn.ModuleList(), nn.ModuleList()
        for steps in ((1,) * spatial_dims, self.stride, self.stride):
            self.pools.append(self._convolution(kernels, steps))
            self.norms.append(nn.LayerNorm(self.width))
        self.relative = nn.ParameterDict()
        if version == 2:
            for axis, one in zip(AXES[spatial_dims], self.size, strict=True):
                self.relative[axis] = nn.Parameter(torch.empty(2 * one - 1, self.width))
                nn.init.trunc_normal_(self.relative[axis], std=0.02)

    def _convolution(self, kernels: Sequence[int], steps: Sequence[int]) -> nn.Module:
        return CONVOLUTION[len(kernels)](
            self.width,
            self.width,
            tuple(kernels),
            stride=tuple(steps),
            padding=tuple(one // 2 for one in kernels),
            groups=self.width,
            bias=False,
        )

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        projected = self.query_key_value(self.norm(tokens))
        if mask is not None:
            projected = projected.masked_fill(~mask.unsqueeze(2), 0)
        parts = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 4, 1)
        pools = zip(self.pools, self.norms, parts, strict=True)
        query, key, value = (self._pooled(pool, norm, part, grid) for pool, norm, part in pools)
        kept = None if mask is None else self._kept(mask.unflatten(1, grid))
        bias = self._relative(query, grid) if self.relative else None
        scaled = query * self.width**-0.5
        if self.observer.recording:
            self._show(scaled, key, bias, mask, kept, grid)
        mixed = F.scaled_dot_product_attention(
            scaled, key, value, attn_mask=_masked(bias, kept, scaled.dtype), scale=1.0
        )
        if self.relative:
            mixed = mixed + query
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _pooled(self, pool: nn.Module, norm: nn.Module, x: Tensor, grid: Sequence[int]) -> Tensor:
        """(N, heads, d, L) -> (N, heads, L', d)."""
        pooled = pool(x.flatten(0, 1).unflatten(2, grid)).flatten(2)
        out: Tensor = norm(pooled.unflatten(0, (-1, self.heads)).transpose(2, 3))
        return out

    def _relative(self, query: Tensor, grid: tuple[int, ...]) -> Tensor:
        """(N, heads, L, d) -> (N, heads, L, L'), what distance adds to the logits."""
        rows = []
        for table, size, stride, most in zip(
            self.relative.values(), grid, self.stride, self.size, strict=True
        ):
            if size > most and not self.compat:
                raise ArgumentError(f"size: expected at least {tuple(grid)}, got {self.size}")
            count = (size + stride - 1) // stride
            if self.compat:
                table, steps = _stretched(table, size), _steps_by_ratio(size, count, table.device)
            else:
                # As in the authors' code, where the distance 0 is not the middle of the table.
                zero = stride * ((most + stride - 1) // stride - 1)
                keys = torch.arange(count, device=query.device) * stride
                steps = torch.arange(size, device=query.device)[:, None] - keys + zero
            rows.append(table[steps])
        return distance_logits(query.unflatten(2, grid), rows)

    def _kept(self, mask: Tensor) -> Tensor:
        """(N, *grid) -> (N, L'): a key is real where anything in its cell is."""
        kept = mask
        for axis, stride in enumerate(self.stride, start=1):
            count = (kept.shape[axis] + stride - 1) // stride
            missing = count * stride - kept.shape[axis]
            sides = [0, 0] * (kept.ndim - axis - 1) + [0, missing]
            kept = F.pad(kept, sides).unflatten(axis, (count, stride)).amax(axis + 1)
        return kept.flatten(1)

    @torch.no_grad()
    def _show(
        self,
        query: Tensor,
        key: Tensor,
        bias: Tensor | None,
        mask: Tensor | None,
        kept: Tensor | None,
        grid: tuple[int, ...],
    ) -> None:
        batch, heads, length, _ = query.shape
        if mask is None:
            mask = query.new_ones(batch, length, dtype=torch.bool)
        received, pieces = single_precision(query).new_zeros(batch, heads, key.shape[2]), []
        step = max(1, CHUNK // (batch * heads * key.shape[2]))
        for start in range(0, length, step):
            part = slice(start, start + step)
            with torch.autocast(query.device.type, enabled=False):
                scores = single_precision(query[:, :, part]) @ single_precision(key).transpose(2, 3)
                scores = scores if bias is None else scores + bias[:, :, part]
                rows = masked_softmax(scores, None if kept is None else kept[:, None, None], dim=3)
            rows = rows.masked_fill(~mask[:, None, part, None], 0)
            received = received + rows.sum(2)
            pieces += [rows] if self.observer.wants_affinity else []
        received = received / mask.sum(1).clamp(min=1)[:, None, None]
        values = self._spread(received, mask.unflatten(1, grid))
        self.observer(values, grid, affinity=torch.cat(pieces, dim=2) if pieces else None)

    def _spread(self, received: Tensor, mask: Tensor) -> Tensor:
        """(N, heads, L') -> (N, heads, *grid): each key's share among the real of its cell."""
        grid = mask.shape[1:]
        pairs = list(zip(grid, self.stride, strict=True))
        values = received.unflatten(2, [(size + stride - 1) // stride for size, stride in pairs])
        counts = mask.unsqueeze(1).to(values.dtype)
        for axis, (size, stride) in enumerate(pairs, start=2):
            cells = torch.arange(size, device=values.device) // stride
            shape = list(counts.shape)
            shape[axis] = (size + stride - 1) // stride
            sums = counts.new_zeros(shape).index_add(axis, cells, counts)
            counts = sums.index_select(axis, cells)
            values = values.index_select(axis, cells)
        return values * mask.unsqueeze(1) / counts.clamp(min=1)


def _masked(bias: Tensor | None, kept: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """What to add to the logits, or which keys may be read; padding-only samples read all."""
    if kept is None:
        return None if bias is None else bias.to(dtype)
    allowed = (kept | ~kept.any(1, keepdim=True))[:, None, None]
    return allowed if bias is None else bias.to(dtype).masked_fill(~allowed, -torch.inf)


def _stretched(table: Tensor, size: int) -> Tensor:
    """(distances, d) -> (2 · size - 1, d), by linear interpolation."""
    return F.interpolate(table.T.unsqueeze(0), size=2 * size - 1, mode="linear").squeeze(0).T


def _steps_by_ratio(size: int, count: int, device: torch.device) -> Tensor:
    """(size, count), rows of a table for each query and key, keys size / count apart."""
    keys = torch.arange(count, device=device) + 1 - count
    steps = torch.arange(size, device=device)[:, None] - keys * (size / count)
    return steps.long()
