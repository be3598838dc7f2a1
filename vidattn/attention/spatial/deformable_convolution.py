from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from vidattn.attention.convolutions import kernel_sizes, stored_like
from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.spatial.sampling import splat
from vidattn.errors import ArgumentError


class DeformableConvolution(Mechanism):
    """A convolution that chooses, at each position, where it reads and how much each tap counts.

    y(p) = b + Σ_k W_k x(p + p_k + Δ_k(p)) σ(m_k(p)), with Δ and m from another convolution of x
    that starts at 0; x is sampled bilinearly and 0 outside. The output is 0 at padding. Only for
    images and frames: the sampling has no form for clips in torchvision.

    Source: Zhu et al., Deformable ConvNets v2, CVPR 2019.

    Args:
        channels: C, in and out.
        kernel: odd sizes, one for both axes or one for each.
        offset_groups: channels are split into as many groups, each with its own Δ and m.
    """

    kind: ClassVar[Kind] = "replacement"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Zhu et al., Deformable ConvNets v2, CVPR 2019"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = (
        "how much was read at each position, by offset group: the taps' σ(m), shared among the "
        "positions around each point, summed over the taps, mean over output positions"
    )
    ranks: tuple[int, ...] = (2,)

    def __init__(
        self, channels: int, *, kernel: int | Sequence[int] = 3, offset_groups: int = 1
    ) -> None:
        super().__init__()
        if offset_groups < 1 or channels % offset_groups:
            raise ArgumentError(
                f"offset_groups: expected a divisor of {channels} channels, got {offset_groups}"
            )
        rows, columns = kernel_sizes("kernel", kernel, 2)
        self.kernel = (rows, columns)
        self.padding = (self.kernel[0] // 2, self.kernel[1] // 2)
        self.groups = offset_groups
        taps = rows * columns
        self.convolution = nn.Conv2d(channels, channels, self.kernel, padding=self.padding)
        self.offset = nn.Conv2d(
            channels, 3 * offset_groups * taps, self.kernel, padding=self.padding
        )
        for part in self.offset.parameters():
            nn.init.zeros_(part)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        self.check_rank(x)
        layout = x
        x = zero_padding(x, mask)
        # Torchvision's order: row and column of the first tap, of the second, …; all groups.
        offsets, modulation = self.offset(x).tensor_split((self.offset.out_channels * 2 // 3,), 1)
        modulation = modulation.sigmoid()
        if self.observer.recording:
            self._show(offsets.detach(), modulation.detach(), mask)
        weights = self.convolution.parameters()
        out: Tensor = deform_conv2d(
            *(single_precision(part) for part in (x, offsets, *weights)),
            padding=self.padding,
            mask=single_precision(modulation),
        )
        return stored_like(layout, zero_padding(out.to(modulation.dtype), mask))

    def _show(self, offsets: Tensor, modulation: Tensor, mask: Tensor | None) -> None:
        batch, _, height, width = offsets.shape
        weights = single_precision(modulation).unflatten(1, (self.groups, -1))
        count: Tensor | int = height * width
        if mask is not None:
            mask = mask.expand(batch, 1, height, width)
            weights = weights * mask.unsqueeze(2)
            count = mask.sum((2, 3), keepdim=True).clamp(min=1)
        steps = [
            torch.arange(size, device=offsets.device) for size in (height, width, *self.kernel)
        ]
        rows = steps[2][:, None, None, None] + steps[0][:, None] - self.padding[0]
        columns = steps[3][None, :, None, None] + steps[1] - self.padding[1]
        sites = torch.stack(torch.broadcast_tensors(rows, columns)).flatten(1, 2)
        points = offsets.unflatten(1, (self.groups, -1, 2)).movedim(3, -1) + sites.movedim(0, -1)
        values = splat(points.flatten(2, 4), weights.flatten(2), height, width) / count
        self.observer(zero_padding(values, mask), (height, width))
