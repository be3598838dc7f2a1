from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import CONVOLUTION, kernel_sizes
from vidattn.attention.mechanism import Replacement


class Highway(Replacement):
    """A convolution and a way past it, mixed for each feature by a learned gate.

    t = σ(K_t ∗ x + b_t), y = t · ReLU(K ∗ x + b) + (1 − t) · x. b_t starts below 0, so that a
    new one mostly lets x pass.

    Source: Srivastava, Greff, Schmidhuber, Training Very Deep Networks, NeurIPS 2015, with
    convolutions. No public code confirms the kernel and the start of b_t; the paper reports −1 to
    −3.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        kernel_size: odd, of both convolutions, one for all axes or one for each.
        gate_bias: b_t at the start.
    """

    family: ClassVar[str] = "branch"
    source: ClassVar[str] = (
        "Srivastava, Greff, Schmidhuber, Training Very Deep Networks, NeurIPS 2015"
    )
    map_meaning: ClassVar[str] = "shares of the convolution and of x, mean over channels"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        kernel_size: int | Sequence[int] = 3,
        gate_bias: float = -2.0,
    ) -> None:
        super().__init__(spatial_dims=spatial_dims, stride=(1,) * spatial_dims)
        sizes = kernel_sizes("kernel_size", kernel_size, spatial_dims)
        convolution, around = CONVOLUTION[spatial_dims], tuple(size // 2 for size in sizes)
        self.transform = convolution(channels, channels, sizes, padding=around)
        gate = convolution(channels, channels, sizes, padding=around)
        nn.init.constant_(gate.get_parameter("bias"), gate_bias)
        self.gate = gate

    def convolve(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """See `Replacement.convolve`."""
        share = self.gate(x).sigmoid()
        if self.observer.recording:
            transformed = share.mean(1, keepdim=True)
            self.observer(torch.cat([transformed, 1 - transformed], dim=1), x.shape[2:])
        return share * F.relu(self.transform(x)) + (1 - share) * x
