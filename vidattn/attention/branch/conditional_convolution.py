from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from vidattn.attention.convolutions import kernel_sizes, strides
from vidattn.attention.expert_convolution import ExpertConvolution
from vidattn.attention.masking import masked_mean
from vidattn.attention.mechanism import Replacement


class ConditionalConvolution(Replacement):
    """A convolution whose kernel is a sum of experts' kernels, each switched on by the sample.

    r = σ(W mean(x) + b), K = Σ_e r_e K_e, y = K ∗ x.

    Source: Yang, Bender, Le, Ngiam, CondConv, NeurIPS 2019.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        out_channels: C'; None for C.
        kernel_size: odd, one for all axes or one for each.
        stride: one for all axes or one for each.
        groups: of each kernel.
        experts: how many kernels; the paper has 4 to 8.
        bias: whether the experts have biases, mixed like the kernels.
    """

    family: ClassVar[str] = "branch"
    source: ClassVar[str] = "Yang, Bender, Le, Ngiam, CondConv, NeurIPS 2019"
    map_meaning: ClassVar[str] = "weight of each expert's kernel, in (0, 1)"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        out_channels: int | None = None,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        groups: int = 1,
        experts: int = 4,
        bias: bool = False,
    ) -> None:
        super().__init__(spatial_dims=spatial_dims, stride=strides("stride", stride, spatial_dims))
        self.convolution = ExpertConvolution(
            channels,
            out_channels=out_channels or channels,
            experts=experts,
            kernel_size=kernel_sizes("kernel_size", kernel_size, spatial_dims),
            stride=self.stride,
            groups=groups,
            bias=bias,
        )
        self.route = nn.Linear(channels, experts)

    def convolve(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """See `Replacement.convolve`."""
        shares = self.route(masked_mean(x, mask)).sigmoid()
        self.show(shares, x)
        return self.convolution(x, shares)
