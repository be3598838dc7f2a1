from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from vidattn.attention.convolutions import CONVOLUTION, kernel_sizes
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class LargeKernelAttention(Gate):
    """One weight per channel and position, from a wide neighbourhood seen by three convolutions.

    a = P ∗ (D ∗ (S ∗ x)), y = x · a, with S a depth-wise convolution of size 5, D one of size 7
    and dilation 3, and P a 1×1 convolution across channels: together as wide as one of size 23.
    a is not bounded: there is no sigmoid.

    Source: Guo et al., Visual Attention Network, Computational Visual Media 2023.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        local_kernel: odd sizes of S, one for all axes or one for each.
        dilated_kernel: odd sizes of D likewise.
        dilation: of D, on all axes.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Guo et al., Visual Attention Network, Computational Visual Media 2023"
    map_meaning: ClassVar[str] = "what each channel was multiplied by at each position, any number"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        local_kernel: int | Sequence[int] = 5,
        dilated_kernel: int | Sequence[int] = 7,
        dilation: int = 3,
    ) -> None:
        super().__init__()
        if dilation < 1:
            raise ArgumentError(f"dilation: expected at least 1, got {dilation}")
        local = kernel_sizes("local_kernel", local_kernel, spatial_dims)
        dilated = kernel_sizes("dilated_kernel", dilated_kernel, spatial_dims)
        convolution = CONVOLUTION[spatial_dims]
        self.ranks = (spatial_dims,)
        self.local = convolution(
            channels, channels, local, padding=tuple(size // 2 for size in local), groups=channels
        )
        self.dilated = convolution(
            channels,
            channels,
            dilated,
            padding=tuple(size // 2 * dilation for size in dilated),
            dilation=dilation,
            groups=channels,
        )
        self.across = convolution(channels, channels, 1)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        near = self.local(x)
        return self.across(self.dilated(zero_padding(near, mask)))
