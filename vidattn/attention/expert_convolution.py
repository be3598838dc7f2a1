"""One convolution for each sample, its kernel a sum of experts' kernels."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from vidattn.attention.convolutions import CONVOLVE
from vidattn.errors import ArgumentError


class ExpertConvolution(nn.Module):
    """K_n = Σ_e r_ne K_e for sample n, the biases likewise; y_n = K_n ∗ x_n + b_n.

    The samples are folded into the groups of one convolution: the cost is that of a single
    kernel, however many experts there are.

    Args:
        channels: C.
        out_channels: C'.
        experts: how many kernels; each starts as an ordinary convolution's would.
        kernel_size: odd, one for each axis.
        stride: one for each axis.
        groups: of each kernel.
        bias: whether the experts have biases.
    """

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int,
        experts: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        groups: int,
        bias: bool,
    ) -> None:
        super().__init__()
        if experts < 1:
            raise ArgumentError(f"experts: expected at least 1, got {experts}")
        if channels % groups or out_channels % groups:
            raise ArgumentError(
                f"groups: expected a divisor of {channels} and {out_channels} channels, "
                f"got {groups}"
            )
        self.out_channels = out_channels
        self.stride = stride
        self.groups = groups
        self.weight = nn.Parameter(
            torch.empty(experts, out_channels, channels // groups, *kernel_size)
        )
        self.bias = nn.Parameter(torch.empty(experts, out_channels)) if bias else None
        bound = (channels // groups * prod(kernel_size)) ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """x (N, C, *positions) and shares (N, experts) -> (N, C', *⌈positions / stride⌉)."""
        batch, kernel = x.shape[0], self.weight.shape[2:]
        weight = (shares @ self.weight.flatten(1)).reshape(-1, *kernel)
        bias = None if self.bias is None else (shares @ self.bias).flatten()
        out = CONVOLVE[x.ndim - 2](
            x.reshape(1, -1, *x.shape[2:]),
            weight,
            bias,
            stride=self.stride,
            padding=tuple(size // 2 for size in kernel[1:]),
            groups=self.groups * batch,
        )
        return out.reshape(batch, self.out_channels, *out.shape[2:])
