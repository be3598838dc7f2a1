"""Layers by number of position axes, for mechanisms that are the same in 1-D, 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.errors import ArgumentError

CONVOLUTION: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
BATCH_NORM: dict[int, Callable[..., nn.Module]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
LINEAR_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


def kernel_sizes(argument: str, size: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """One odd size for each axis, from one for all or one for each; errors name the argument."""
    sizes = (size,) * spatial_dims if isinstance(size, int) else tuple(size)
    if len(sizes) != spatial_dims or any(one < 1 or one % 2 == 0 for one in sizes):
        raise ArgumentError(f"{argument}: expected {spatial_dims} odd sizes or one, got {size}")
    return sizes


def strides(argument: str, stride: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """One stride for each axis, from one for all or one for each; errors name the argument."""
    steps = (stride,) * spatial_dims if isinstance(stride, int) else tuple(stride)
    if len(steps) != spatial_dims or any(one < 1 for one in steps):
        raise ArgumentError(f"{argument}: expected {spatial_dims} strides or one, got {stride}")
    return steps


def stored_like(x: Tensor, out: Tensor) -> Tensor:
    """`out` in the memory format of x: `channels_last`, `channels_last_3d` or contiguous."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if last is None or x.is_contiguous() or not x.is_contiguous(memory_format=last):
        return out.contiguous()
    return out.contiguous(memory_format=last)
