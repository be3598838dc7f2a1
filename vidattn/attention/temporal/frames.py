"""Frames as the unit: their means, what changes from one to the next, short filters over time.

x is (N, C, T) or (N, C, T, H, W) throughout; a mask is as in `Mechanism.forward`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import CONVOLUTION
from vidattn.attention.masking import single_precision, zero_padding
from vidattn.errors import ArgumentError

# Numbers of position axes that temporal mechanisms accept: frames as vectors, or clips.
RANKS = (1, 3)


def check_temporal(name: str, spatial_dims: int) -> None:
    """Raise an ArgumentError unless there is a time axis."""
    if spatial_dims not in RANKS:
        raise ArgumentError(
            f"{name}: expected spatial_dims 1 (T,) or 3 (T, H, W), got {spatial_dims}"
        )


def frame_convolution(
    channels: int, out_channels: int, *, spatial_dims: int, size: int = 1, groups: int = 1
) -> nn.Module:
    """A convolution without bias that sees one frame at a time; in 1-D it is one tap wide.

    Args:
        channels, out_channels: C before and after.
        spatial_dims: 1 or 3.
        size: odd size over H and W; the result is as large.
        groups: as in `torch.nn.Conv3d`.
    """
    sizes = (1, *(size,) * (spatial_dims - 1))
    padding = tuple(one // 2 for one in sizes)
    return CONVOLUTION[spatial_dims](
        channels, out_channels, sizes, padding=padding, groups=groups, bias=False
    )


def full_mask(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """The mask as (N, 1, *positions of x)."""
    return None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:])


def real_frames(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """(N, 1, T): frames with at least one real position."""
    mask = full_mask(mask, x)
    return None if mask is None else mask.reshape(*mask.shape[:3], -1).any(3)


def unless_padding(y: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
    """y, but x at padding: what a mixer returns."""
    return y if mask is None else torch.where(mask, y, x)


def frame_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """(N, C, T): the mean of each frame over its real positions; 0 where it has none."""
    mask = full_mask(mask, x)
    inside = tuple(range(3, x.ndim))
    if mask is None or not inside:
        x = zero_padding(x, mask)
        return x.mean(inside) if inside else x
    total = single_precision(zero_padding(x, mask)).sum(inside)
    return (total / mask.sum(inside).clamp(min=1)).to(x.dtype)


def like_frames(values: Tensor, x: Tensor) -> Tensor:
    """(N, C, T) with as many axes as x, the new ones of size 1."""
    return values.reshape(*values.shape, *[1] * (x.ndim - 3))


def change_to_next(here: Tensor, there: Tensor, *, backwards: bool = False) -> Tensor:
    """there[t + 1] - here[t], backwards there[t - 1] - here[t]; 0 where there is no such frame."""
    nothing = torch.zeros_like(here[:, :, :1])
    if backwards:
        return torch.cat([nothing, there[:, :, :-1] - here[:, :, 1:]], 2)
    return torch.cat([there[:, :, 1:] - here[:, :, :-1], nothing], 2)


def real_with_next(mask: Tensor | None, x: Tensor, *, backwards: bool = False) -> Tensor | None:
    """(N, 1, *positions): real at t and at t + 1, or backwards at t and at t - 1."""
    mask = full_mask(mask, x)
    if mask is None:
        return None
    both, nothing = mask[:, :, 1:] & mask[:, :, :-1], torch.zeros_like(mask[:, :, :1])
    return torch.cat([nothing, both] if backwards else [both, nothing], 2)


def filter_axis(x: Tensor, kernel: Tensor, *, axis: int = 2) -> Tensor:
    """Correlate each channel with its own short kernel over one axis, zeros beyond the ends.

    y[t] = Σ_k kernel[k] x[t + k - K // 2]. Shifted products, because a convolution in N · C
    groups is slow and loses the memory format.

    Args:
        x: (N, C, T, …).
        kernel: (N or 1, C, K), K odd.
        axis: of x; 2 is time.
    """
    size, length = kernel.shape[2], x.shape[axis]
    padded = F.pad(x, [*[0, 0] * (x.ndim - 1 - axis), size // 2, size // 2])
    result = like_frames(kernel[:, :, :1], x) * padded.narrow(axis, 0, length)
    for index in range(1, size):
        tap = like_frames(kernel[:, :, index : index + 1], x)
        result = result + tap * padded.narrow(axis, index, length)
    return result


@torch.no_grad()
def filter_matrix(kernel: Tensor, weights: Tensor, frames: Tensor | None) -> Tensor:
    """(N, C, T, T), result by source: what `filter_axis` of x · weights multiplies x with.

    Args:
        kernel: (N or 1, C, K).
        weights: (N, C, T), of the sources.
        frames: bool (N, 1, T); False ones are no sources and get no result.
    """
    length, size = weights.shape[2], kernel.shape[2]
    time = torch.arange(length, device=kernel.device)
    tap = time - time[:, None] + size // 2
    inside = (tap >= 0) & (tap < size)
    matrix = kernel[:, :, tap.clamp(0, size - 1)] * inside * weights.unsqueeze(2)
    return matrix if frames is None else matrix * (frames.unsqueeze(2) & frames.unsqueeze(3))
