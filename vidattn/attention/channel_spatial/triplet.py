from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.channel_spatial.axes import along, axis_masks, axis_maxima, axis_means
from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, kernel_sizes
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Gate


class TripletAttention(Gate):
    """The mean of one weight per position and, for each axis, one per channel and place.

    Z = [max; mean] over what a weight does not depend on, a = σ(BN(K ∗ Z)), K without bias.
    One a sees the positions (Z over C), with a kernel of as many axes; one for each axis k sees
    the plane C × k (Z over the other axes). y = x · (mean of all a): three for an image, with
    T a fourth.

    Source: Misra et al., Rotate to Attend, WACV 2021, for H and W. Batch normalisation has momentum
    0.01, as in the authors' code. Of one axis nothing is left to pool, so `ranks` are 2 and 3.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        kernel_size: odd, of every K.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Misra et al., Rotate to Attend, WACV 2021"
    map_meaning: ClassVar[str] = "mean of a position weight and one channel weight per axis"
    weighs_time: ClassVar[bool] = True

    ranks: tuple[int, ...] = (2, 3)

    def __init__(self, channels: int, *, spatial_dims: int = 3, kernel_size: int = 7) -> None:
        super().__init__()
        kernel_sizes("kernel_size", kernel_size, 1)
        self.ranks = (spatial_dims,)
        dims = [spatial_dims] + [2] * spatial_dims
        # The positions' gate, then those of the planes C × T, C × H and C × W.
        self.convolutions = nn.ModuleList(
            CONVOLUTION[rank](2, 1, kernel_size, padding=kernel_size // 2, bias=False)
            for rank in dims
        )
        self.norms = nn.ModuleList(BATCH_NORM[rank](1, momentum=0.01) for rank in dims)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        seen = torch.stack([x.amax(1), x.mean(1)], dim=1)
        total = self._gate(0, zero_padding(seen, mask))
        maxima, means, kept = axis_maxima(x, mask), axis_means(x, mask), axis_masks(x, mask)
        planes = zip(maxima, means, kept, strict=True)
        for axis, (largest, mean, real) in enumerate(planes):
            plane = torch.stack([largest, mean], dim=1)  # (N, 2, C, size)
            plane = zero_padding(plane, None if real is None else real.unsqueeze(1))
            gate = self._gate(axis + 1, plane).squeeze(1)
            total = total + along(gate, axis, x.ndim)
        return total / len(self.norms)

    def _gate(self, index: int, seen: Tensor) -> Tensor:
        gate: Tensor = self.norms[index](self.convolutions[index](seen)).sigmoid()
        return gate
