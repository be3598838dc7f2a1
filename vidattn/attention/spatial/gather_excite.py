from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION
from vidattn.attention.masking import masked_mean, single_precision, zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError

MAXIMUM_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class GatherExcite(Gate):
    """One weight per channel and region, from what the channel holds around that region.

    y = x · σ(spread(M(gather(x)))). The gathered cells lie e positions apart, each centred on
    its first: "mean" (θ⁻) is the mean over the 2e − 1 positions around it, of real ones only;
    "convolutions" (θ) are log₂ e depth-wise convolutions of size 3 and stride 2, each followed
    by a batch normalisation, with ReLUs between them. M (θ⁺) is a two-layer network over
    channels, or nothing. Each cell is used at its e positions: nearest-neighbour
    interpolation, for sizes that e divides.

    A mean over all positions with M is squeeze-and-excitation. A depth-wise convolution over
    all positions, which would fix the size of x, is left out.

    Source: Hu et al., Gather-Excite, NeurIPS 2018.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        gather: "convolutions" or "mean".
        extent: e, one for all axes or one for each; a power of 2 for convolutions, where 1
            leaves an axis alone. None, for means only, gathers all positions.
        reduction: M has C / reduction hidden units, rounded down, at least 1; None for no M.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Hu et al., Gather-Excite, NeurIPS 2018"
    map_meaning: ClassVar[str] = "what each channel was multiplied by at each position, in (0, 1)"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        gather: Literal["convolutions", "mean"] = "convolutions",
        extent: int | Sequence[int] | None = 8,
        reduction: int | None = 16,
    ) -> None:
        super().__init__()
        self.ranks = (spatial_dims,)
        self.extents = _extents(extent, spatial_dims, gather)
        self.strides: list[tuple[int, ...]] = []
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        if gather == "convolutions":
            assert self.extents is not None
            self.strides = _strides(self.extents)
            for strides in self.strides:
                self.convolutions.append(_depthwise(channels, strides))
                self.norms.append(BATCH_NORM[spatial_dims](channels))
        hidden = max(1, channels // reduction) if reduction else 0
        self.squeeze = CONVOLUTION[spatial_dims](channels, hidden, 1) if reduction else None
        self.excite = CONVOLUTION[spatial_dims](hidden, channels, 1) if reduction else None

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions), or (N, C, 1, …) for all positions."""
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:])
        cells = self._convolve(x, kept) if len(self.convolutions) else self._mean(x, kept)
        if self.squeeze is not None:
            assert self.excite is not None
            cells = self.excite(F.relu(self.squeeze(cells)))
        return self._spread(cells.sigmoid(), x)

    def _convolve(self, x: Tensor, kept: Tensor | None) -> Tensor:
        for index, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = norm(convolution(zero_padding(F.relu(x) if index else x, kept)))
            if kept is not None:
                # A cell counts if one of its positions does.
                steps = self.strides[index]
                kept = MAXIMUM_POOL[x.ndim - 2](kept.to(x), steps, steps, ceil_mode=True) > 0
        return x

    def _mean(self, x: Tensor, kept: Tensor | None) -> Tensor:
        if self.extents is None:
            return self.per_channel(masked_mean(x, kept), x)
        with torch.autocast(x.device.type, enabled=False):
            real = single_precision(x)
            counted = torch.ones_like(real[:1, :1]) if kept is None else kept.to(real)
            mean = self._windows(real) / self._windows(counted).clamp(min=1)
            return mean.to(x.dtype)

    def _windows(self, x: Tensor) -> Tensor:
        """The sum of each window, one axis after another, by products with bands of ones."""
        assert self.extents is not None
        for axis, extent in enumerate(self.extents, start=2):
            index = torch.arange(x.shape[axis], device=x.device)
            distance = (index.unsqueeze(1) - index[::extent]).abs()
            x = (x.movedim(axis, -1) @ (distance < extent).to(x)).movedim(-1, axis)
        return x

    def _spread(self, cells: Tensor, x: Tensor) -> Tensor:
        if self.extents is None:
            return cells
        for axis, extent in enumerate(self.extents, start=2):
            index = torch.arange(x.shape[axis], device=x.device) // extent
            cells = cells.index_select(axis, index)
        return cells


def _depthwise(channels: int, strides: tuple[int, ...]) -> nn.Module:
    """Size 3 on the axes with stride 2, size 1 on the others."""
    return CONVOLUTION[len(strides)](
        channels,
        channels,
        tuple(2 * stride - 1 for stride in strides),
        stride=strides,
        padding=tuple(stride - 1 for stride in strides),
        groups=channels,
        bias=False,
    )


def _strides(extents: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Those of each convolution: an axis has one of stride 2 for every factor 2 of its extent."""
    return [
        tuple(2 if extent >> level > 1 else 1 for extent in extents)
        for level in range(max(extents).bit_length() - 1)
    ]


def _extents(
    extent: int | Sequence[int] | None, spatial_dims: int, gather: str
) -> tuple[int, ...] | None:
    if gather not in ("convolutions", "mean"):
        raise ArgumentError(f"gather: expected 'convolutions' or 'mean', got {gather!r}")
    if extent is None:
        if gather == "convolutions":
            raise ArgumentError("extent: expected sizes for convolutions, got None")
        return None
    extents = (extent,) * spatial_dims if isinstance(extent, int) else tuple(extent)
    if len(extents) != spatial_dims or min(extents) < 1:
        raise ArgumentError(f"extent: expected {spatial_dims} sizes or one, got {extent}")
    if gather == "convolutions" and any(one & (one - 1) for one in extents):
        raise ArgumentError(f"extent: expected powers of 2 for convolutions, got {extent}")
    return extents
