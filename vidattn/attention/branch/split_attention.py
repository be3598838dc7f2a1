from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, kernel_sizes, strides
from vidattn.attention.masking import masked_mean, single_precision
from vidattn.attention.mechanism import Gate, Replacement
from vidattn.errors import ArgumentError


class SplitAttention(Replacement):
    """A grouped convolution whose results are mixed for each channel by what all of them see.

    U = ReLU(BN(K ∗ x)) has R · C' channels, U_r the r-th C' of them;
    z = ReLU(BN(W mean(Σ U_r) + b)); a = softmax over r of V z + c, for each channel (with R = 1
    its sigmoid); y = Σ a_r · U_r. K has G · R groups, W and V have G; V's results are ordered
    group, branch, channel. The batch normalisation of z is over the samples: training needs two
    of them.

    Source: Zhang et al., ResNeSt, CVPR Workshops 2022; order as in the authors' code.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        out_channels: C'; None for C.
        kernel_size: odd, one for all axes or one for each.
        stride: one for all axes or one for each.
        groups: G, the paper's cardinality.
        branches: R, the paper's radix.
        reduction: z has C · R / reduction entries, rounded down, at least `minimum_width`, then
            up to a multiple of G.
        minimum_width: see above.
    """

    family: ClassVar[str] = "branch"
    source: ClassVar[str] = "Zhang et al., ResNeSt, CVPR Workshops 2022"
    map_meaning: ClassVar[str] = "share of each split, mean over channels; sums to 1"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        out_channels: int | None = None,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        groups: int = 1,
        branches: int = 2,
        reduction: int = 4,
        minimum_width: int = 32,
    ) -> None:
        super().__init__(spatial_dims=spatial_dims, stride=strides("stride", stride, spatial_dims))
        if branches < 1:
            raise ArgumentError(f"branches: expected at least 1, got {branches}")
        out_channels = out_channels or channels
        width = max(channels * branches // reduction, minimum_width)
        width += -width % groups
        sizes = kernel_sizes("kernel_size", kernel_size, spatial_dims)
        self.groups = groups
        self.branches = branches
        self.convolution = CONVOLUTION[spatial_dims](
            channels,
            out_channels * branches,
            sizes,
            stride=self.stride,
            padding=tuple(size // 2 for size in sizes),
            groups=groups * branches,
            bias=False,
        )
        self.norm = BATCH_NORM[spatial_dims](out_channels * branches)
        self.reduce = nn.Conv1d(out_channels, width, 1, groups=groups)
        self.reduced_norm = nn.BatchNorm1d(width)
        self.select = nn.Conv1d(width, out_channels * branches, 1, groups=groups)

    def convolve(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """See `Replacement.convolve`."""
        splits = F.relu(self.norm(self.convolution(x))).chunk(self.branches, dim=1)
        total = splits[0]
        for split in splits[1:]:
            total = total + split
        shares = self._shares(masked_mean(total, kept))
        self.show(shares.mean(2), x)
        each = shares.to(x.dtype).unbind(1)
        y = splits[0] * Gate.per_channel(each[0], x)
        for split, share in zip(splits[1:], each[1:], strict=True):
            y = y + split * Gate.per_channel(share, x)
        return y

    def _shares(self, means: Tensor) -> Tensor:
        """(N, C') -> (N, R, C'), float32 at least."""
        hidden = F.relu(self.reduced_norm(self.reduce(means.unsqueeze(2))))
        score = single_precision(self.select(hidden).squeeze(2))
        if self.branches == 1:
            return score.sigmoid().unsqueeze(1)
        score = score.unflatten(1, (self.groups, self.branches, -1)).transpose(1, 2)
        return score.softmax(1).flatten(2)
