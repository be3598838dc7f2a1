from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, kernel_sizes, stored_like
from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.errors import ArgumentError

_AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class SelfCalibratedConvolution(Mechanism):
    """A convolution, half of whose channels are weighted by what a coarse view of them shows.

    The halves are x₁ and x₂. a = σ(x₁ + up(K₂ ∗ mean over windows of x₁));
    y₁ = K₄ ∗ (a · (K₃ ∗ x₁)), y₂ = K₁ ∗ x₂, y = [y₁; y₂]. Every K is followed by a batch
    normalisation, as in the authors' code; no ReLU follows y.

    Windows lie side by side; the last of an axis may be shorter, so that every position is in
    one, and `up` gives each position the number of its own window.

    Source: Liu et al., SCNet, CVPR 2020.

    Args:
        channels: C, even.
        spatial_dims: number of position axes of x.
        kernel_size: odd, of every K.
        pooling: size of the windows, one for all axes or one for each.
        compat: as the authors' code where the positions are no multiple of the windows: the rest
            is in no window, and `up` stretches what is left over all positions. An axis must then
            be as long as a window, and a padded clip is not the same as a shorter one.
    """

    family: ClassVar[str] = "channel_spatial"
    kind: ClassVar[Kind] = "replacement"
    source: ClassVar[str] = "Liu et al., SCNet, CVPR 2020"
    map_kind: ClassVar[MapKind] = "gate"
    map_meaning: ClassVar[str] = "what each feature of the calibrated half was multiplied by"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        kernel_size: int | Sequence[int] = 3,
        pooling: int | Sequence[int] = 4,
        compat: bool = False,
    ) -> None:
        super().__init__()
        if channels % 2:
            raise ArgumentError(f"channels: expected an even number, got {channels}")
        self.ranks = (spatial_dims,)
        self.compat = compat
        self.pooling = _window(pooling, spatial_dims)
        self.plain, self.coarse, self.fine, self.calibrated = (
            _convolution(channels // 2, kernel_size, spatial_dims) for _ in range(4)
        )
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape; 0 at padding."""
        self.check_rank(x)
        calibrated, plain = zero_padding(x, mask).chunk(2, dim=1)
        weights = zero_padding(self._weights(calibrated, mask), mask)
        self.observer(weights, x.shape[2:])
        calibrated = self.calibrated(self.fine(calibrated) * weights)
        out = zero_padding(torch.cat([calibrated, self.plain(plain)], dim=1), mask)
        return stored_like(x, out)

    def _weights(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.compat and any(
            size < window for size, window in zip(x.shape[2:], self.pooling, strict=True)
        ):
            raise ArgumentError(
                f"{type(self).__name__}: expected positions of at least {self.pooling}, "
                f"got {tuple(x.shape[2:])}"
            )
        coarse = self.coarse(self._window_means(x, mask))
        return (x + self._stretch(coarse, x.shape[2:])).sigmoid()

    def _window_means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        dtype, x = x.dtype, single_precision(x)
        average, grid = _AVERAGE[len(self.pooling)], x.shape[2:]
        if mask is None:
            real = x.new_ones(1, 1, *grid)
        else:
            real = mask.expand(x.shape[0], 1, *grid).to(x.dtype)
        if not self.compat:
            # Up to the end of the last window: its own mode for that refuses shorter axes.
            ends = [-size % window for size, window in zip(grid, self.pooling, strict=True)]
            beyond = [side for end in reversed(ends) for side in (0, end)]
            x, real = F.pad(x, beyond), F.pad(real, beyond)
        share = average(real, self.pooling).clamp(min=1 / prod(self.pooling))
        return (average(x, self.pooling) / share).to(dtype)

    def _stretch(self, coarse: Tensor, grid: tuple[int, ...]) -> Tensor:
        if self.compat:
            return F.interpolate(coarse, size=grid, mode="nearest")
        for axis, (size, window) in enumerate(zip(grid, self.pooling, strict=True), start=2):
            places = torch.arange(size, device=coarse.device) // window
            coarse = coarse.index_select(axis, places)
        return coarse


def _window(pooling: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    sizes = (pooling,) * spatial_dims if isinstance(pooling, int) else tuple(pooling)
    if len(sizes) != spatial_dims or any(size < 1 for size in sizes):
        raise ArgumentError(
            f"pooling: expected {spatial_dims} positive sizes or one, got {pooling}"
        )
    return sizes


def _convolution(
    channels: int, kernel_size: int | Sequence[int], spatial_dims: int
) -> nn.Sequential:
    sizes = kernel_sizes("kernel_size", kernel_size, spatial_dims)
    padding = tuple(size // 2 for size in sizes)
    return nn.Sequential(
        CONVOLUTION[spatial_dims](channels, channels, sizes, padding=padding, bias=False),
        BATCH_NORM[spatial_dims](channels),
    )
