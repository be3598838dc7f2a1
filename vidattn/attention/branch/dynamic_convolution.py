from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import kernel_sizes, strides
from vidattn.attention.expert_convolution import ExpertConvolution
from vidattn.attention.masking import masked_mean, single_precision
from vidattn.attention.mechanism import Replacement
from vidattn.errors import ArgumentError


class DynamicConvolution(Replacement):
    """A convolution whose kernel is a weighted mean of experts' kernels, weighted by the sample.

    r = softmax((W₂ ReLU(W₁ mean(x) + b₁) + b₂) / τ), K = Σ_e r_e K_e, y = K ∗ x, biases likewise.

    τ is a buffer: saved with the weights, never trained. The paper lowers it from 30 to 1 over
    the first ten epochs; do so with `set_temperature`.

    Source: Chen et al., Dynamic Convolution, CVPR 2020. No public code of the authors confirms the
    biases of the two layers.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        out_channels: C'; None for C.
        kernel_size: odd, one for all axes or one for each.
        stride: one for all axes or one for each.
        groups: of each kernel.
        experts: how many kernels.
        bias: whether the experts have biases, mixed like the kernels.
        reduction: the hidden layer has C / reduction units, rounded down, at least 1.
        temperature: τ at the start.
    """

    family: ClassVar[str] = "branch"
    source: ClassVar[str] = "Chen et al., Dynamic Convolution, CVPR 2020"
    map_meaning: ClassVar[str] = "share of each expert's kernel; sums to 1"

    temperature: Tensor

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
        bias: bool = True,
        reduction: int = 4,
        temperature: float = 30.0,
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
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)
        self.route = nn.Linear(hidden, experts)
        self.register_buffer("temperature", torch.empty(()))
        self.set_temperature(temperature)

    def set_temperature(self, temperature: float) -> None:
        """Set τ, above 0: large for nearly equal shares, small for one expert alone."""
        if temperature <= 0:
            raise ArgumentError(f"temperature: expected a number above 0, got {temperature}")
        self.temperature.fill_(temperature)

    def convolve(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """See `Replacement.convolve`."""
        score = self.route(F.relu(self.squeeze(masked_mean(x, mask))))
        shares = (single_precision(score) / self.temperature).softmax(1)
        self.show(shares, x)
        return self.convolution(x, shares.to(x.dtype))
