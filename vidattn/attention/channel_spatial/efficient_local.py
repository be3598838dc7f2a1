from __future__ import annotations

from math import gcd
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.channel_spatial.axes import axis_masks, axis_means, product
from vidattn.attention.channel_spatial.deviations import deviations, variance
from vidattn.attention.convolutions import kernel_sizes
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class EfficientLocalAttention(Gate):
    """One weight per channel and row, column and frame, from neighbours on the same axis only.

    z_k = mean of x over all axes but k; a_k = σ(GN(K_k ∗ z_k)), K_k depthwise without bias;
    y = x · a_T · a_H · a_W, with the axes that x has. No channels are squeezed.

    Source: Xu and Wan, arXiv 2403.01123, for H and W; here T is a third axis treated alike. The
    kernel of 7 and 16 groups are the paper's ELA-B.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        kernel_size: odd, of every K.
        groups: of the group normalisation; None for 16, or for the largest power of two below
            that divides C.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Xu and Wan, ELA, arXiv 2403.01123"
    map_meaning: ClassVar[str] = "product of one weight per channel and axis, in (0, 1)"
    weighs_time: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        kernel_size: int = 7,
        groups: int | None = None,
    ) -> None:
        super().__init__()
        kernel_sizes("kernel_size", kernel_size, 1)
        groups = groups or gcd(channels, 16)
        if channels % groups:
            raise ArgumentError(f"groups: expected a divisor of {channels}, got {groups}")
        self.ranks = (spatial_dims,)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(
                channels,
                channels,
                kernel_size,
                padding=kernel_size // 2,
                groups=channels,
                bias=False,
            )
            for _ in range(spatial_dims)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(spatial_dims))

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        strips = zip(
            axis_means(x, mask), axis_masks(x, mask), self.convolutions, self.norms, strict=True
        )
        gates = [
            _group_norm(norm, convolution(mean), kept).sigmoid()
            for mean, kept, convolution, norm in strips
        ]
        return product(gates, x.ndim)


def _group_norm(norm: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """`norm` of (N, C, L), whose statistics see no padding."""
    assert isinstance(norm, nn.GroupNorm)
    if mask is None:
        # That of `torch.nn.functional` refuses groups of one value, which are brought to 0.
        return torch.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
    grouped = x.unflatten(1, (norm.num_groups, -1))  # (N, groups, C / groups, L)
    kept = mask.unsqueeze(2).expand(-1, 1, grouped.shape[2], -1)
    deviation, count = deviations(zero_padding(grouped, kept), kept)
    standard = deviation * (variance(deviation, count) + norm.eps).rsqrt()
    scaled = standard.flatten(1, 2) * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)
    return scaled.to(x.dtype)
