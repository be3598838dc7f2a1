from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, kernel_sizes, strides
from vidattn.attention.masking import masked_mean, single_precision
from vidattn.attention.mechanism import Gate, Replacement
from vidattn.errors import ArgumentError


class SelectiveKernel(Replacement):
    """Convolutions with kernels of several extents, mixed for each channel by what all of them see.

    U_m = ReLU(BN(K_m ∗ x)), where K_m has dilation m = 1, 2, …; z = ReLU(BN(W mean(Σ U_m)));
    a = softmax over m of V_m z, for each channel; y = Σ a_m · U_m. W and V have no bias.
    The batch normalisation of z is over the samples: training needs two of them.

    Source: Li, Wang, Hu, Yang, Selective Kernel Networks, CVPR 2019, with the 5 × 5 kernel as a 3 ×
    3 one of dilation 2.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        out_channels: C'; None for C.
        kernel_size: odd, of all branches, one for all axes or one for each.
        stride: one for all axes or one for each.
        groups: of the convolutions; the paper's ResNeXt form has 32.
        branches: how many dilations.
        reduction: z has C' / reduction entries, rounded down, at least `minimum_width`.
        minimum_width: see above.
    """

    family: ClassVar[str] = "branch"
    source: ClassVar[str] = "Li, Wang, Hu, Yang, Selective Kernel Networks, CVPR 2019"
    map_meaning: ClassVar[str] = "share of each dilation, mean over channels; sums to 1"

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
        reduction: int = 16,
        minimum_width: int = 32,
    ) -> None:
        super().__init__(spatial_dims=spatial_dims, stride=strides("stride", stride, spatial_dims))
        if branches < 1:
            raise ArgumentError(f"branches: expected at least 1, got {branches}")
        out_channels = out_channels or channels
        width = max(out_channels // reduction, minimum_width)
        sizes = kernel_sizes("kernel_size", kernel_size, spatial_dims)
        self.branches = nn.ModuleList(
            nn.Sequential(
                CONVOLUTION[spatial_dims](
                    channels,
                    out_channels,
                    sizes,
                    stride=self.stride,
                    padding=tuple(size // 2 * dilation for size in sizes),
                    dilation=dilation,
                    groups=groups,
                    bias=False,
                ),
                BATCH_NORM[spatial_dims](out_channels),
                nn.ReLU(),
            )
            for dilation in range(1, branches + 1)
        )
        self.reduce = nn.Linear(out_channels, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.select = nn.Linear(width, branches * out_channels, bias=False)

    def convolve(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """See `Replacement.convolve`."""
        seen = [branch(x) for branch in self.branches]
        hidden = F.relu(self.norm(self.reduce(masked_mean(_total(seen), kept))))
        score = self.select(hidden).unflatten(1, (len(seen), -1))
        shares = single_precision(score).softmax(1)  # (N, branches, C')
        self.show(shares.mean(2), x)
        each = shares.to(x.dtype).unbind(1)
        return _total(
            [one * Gate.per_channel(share, x) for one, share in zip(seen, each, strict=True)]
        )


def _total(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
