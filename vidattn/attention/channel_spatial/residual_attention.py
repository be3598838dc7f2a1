from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, LINEAR_INTERPOLATION
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError

_MAXIMUM = {2: F.max_pool2d, 3: F.max_pool3d}


class ResidualAttention(Gate):
    """One weight for each feature, from a branch that looks at x ever coarser and comes back.

    y = x · (1 + σ(M(x))). Down: maxima of 3 × 3, half as many rows and columns, and a residual
    unit; on the way back up a residual unit, linear interpolation, and what a residual unit
    makes of the same size on the way down, added. At the end twice BN, ReLU and a pointwise
    convolution. Units normalise first, and narrow to C / 4 channels between. T keeps its size:
    in clips kernels are as long, steps are not.

    (N, C, H, W) or (N, C, T, H, W).

    Source: Wang et al., Residual Attention Network, CVPR 2017 (https://arxiv.org/abs/1704.06904),
    the soft mask branch of an attention module, with mixed attention; its trunk is the
    network that it stands in.

    Args:
        channels: C.
        spatial_dims: 2 or 3.
        depth: how often sizes are halved; the paper has 3, 2 and 1 from stage to stage.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Wang et al., Residual Attention Network, CVPR 2017"
    map_meaning: ClassVar[str] = "what each feature was multiplied by, in (1, 2)"
    ranks: tuple[int, ...] = (2, 3)

    def __init__(self, channels: int, *, spatial_dims: int = 3, depth: int = 2) -> None:
        super().__init__()
        if depth < 1:
            raise ArgumentError(f"depth: expected at least 1, got {depth}")
        self.ranks = (spatial_dims,)
        self.mode = LINEAR_INTERPOLATION[spatial_dims]
        self.down, self.up, self.across = (
            nn.ModuleList(_ResidualUnit(channels, spatial_dims=spatial_dims) for _ in range(count))
            for count in (depth, depth, depth - 1)
        )
        norm, convolution = BATCH_NORM[spatial_dims], CONVOLUTION[spatial_dims]
        self.norms = nn.ModuleList(norm(channels) for _ in range(2))
        self.pointwise = nn.ModuleList(
            convolution(channels, channels, 1, bias=last) for last in (False, True)
        )

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        seen = self._branch(zero_padding(x, mask), mask, 0)
        for norm, pointwise in zip(self.norms, self.pointwise, strict=True):
            seen = pointwise(zero_padding(F.relu(norm(seen)), mask))
        return 1 + seen.sigmoid()

    def _branch(self, x: Tensor, mask: Tensor | None, level: int) -> Tensor:
        """Down once, whatever lies below, and up again: x, 0 at padding -> the same shape."""
        halved, kept = _halve(x, mask)
        seen = self.down[level](halved, kept)
        if level < len(self.across):
            seen = self.across[level](seen, kept) + self._branch(seen, kept, level + 1)
        seen = self.up[level](seen, kept)
        stretched = F.interpolate(seen, size=x.shape[2:], mode=self.mode)
        return zero_padding(stretched, mask)


class _ResidualUnit(nn.Module):
    """x + K₃ ReLU(BN(K₂ ∗ ReLU(BN(K₁ ReLU(BN(x)))))), K₂ of size 3, the others of 1."""

    def __init__(self, channels: int, *, spatial_dims: int) -> None:
        super().__init__()
        hidden = max(1, channels // 4)
        widths = (channels, hidden, hidden, channels)
        self.norms = nn.ModuleList(BATCH_NORM[spatial_dims](width) for width in widths[:3])
        self.convolutions = nn.ModuleList(
            CONVOLUTION[spatial_dims](before, after, size, padding=size // 2, bias=False)
            for before, after, size in zip(widths[:3], widths[1:], (1, 3, 1), strict=True)
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, C, *positions), 0 at padding -> the same shape and the same."""
        seen = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            seen = convolution(zero_padding(F.relu(norm(seen)), mask))
        # At padding the last one, without a bias, reads zeros only.
        return x + seen


def _halve(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Maxima over 3 × 3 (× 3) around every other row and column, of real positions only."""
    rank = x.ndim - 2
    steps = (1,) * (rank - 2) + (2, 2)
    if mask is None:
        return _MAXIMUM[rank](x, 3, steps, 1), None
    lowest = torch.finfo(x.dtype).min
    largest = _MAXIMUM[rank](torch.where(mask, x, lowest), 3, steps, 1)
    kept = _MAXIMUM[rank](
        mask.to(x.dtype), (1,) * (rank - 2) + (3, 3), steps, (0,) * (rank - 2) + (1, 1)
    )
    real = kept > 0
    return zero_padding(largest, real), real
