from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.temporal.frames import RANKS, check_temporal, filter_axis, unless_padding
from vidattn.errors import ArgumentError


class MultiViewFusion(Mechanism):
    """Some channels are filtered along time, height and width each, and added up.

    y = [HardSwish(BN(K_T ∗ x₁ + K_H ∗ x₁ + K_W ∗ x₁)); x₂], x₁ the first C · fraction channels,
    x₂ the others, K one filter of three taps for each channel. There are no weights that depend
    on x: it is no gate, but stands where temporal attention does, before a convolution.

    x is (N, C, T, H, W), or (N, C, T), where only K_T is left.

    Source: Wu et al., AAAI 2021 (MVFNet); normalisation and HardSwish as in the
    authors' code.

    Args:
        channels: C.
        spatial_dims: 1 or 3.
        fraction: part of the channels that is filtered, rounded down, in (0, 1].
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Wu et al., AAAI 2021 (MVFNet)"
    map_kind: ClassVar[MapKind] = "response"
    map_meaning: ClassVar[str] = "magnitude of the filtered channels at each position, their mean"
    ranks: tuple[int, ...] = RANKS

    def __init__(self, channels: int, *, spatial_dims: int = 3, fraction: float = 0.5) -> None:
        super().__init__()
        check_temporal("MultiViewFusion", spatial_dims)
        filtered = int(channels * fraction)
        if not 1 <= filtered <= channels:
            raise ArgumentError(
                f"fraction: expected at least one of {channels} channels and at most all, "
                f"got {fraction}"
            )
        self.ranks = (spatial_dims,)
        self.sizes = (filtered, channels - filtered)
        scale = (2 / (3 * filtered)) ** 0.5
        self.kernels = nn.Parameter(torch.randn(spatial_dims, filtered, 3) * scale)
        self.norm = BATCH_NORM[spatial_dims](filtered)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T) or (N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        seen, rest = zero_padding(x, mask).split(self.sizes, dim=1)
        fused = filter_axis(seen, self.kernels[:1])
        for axis in range(3, x.ndim):
            fused = fused + filter_axis(seen, self.kernels[axis - 2 : axis - 1], axis=axis)
        fused = F.hardswish(self.norm(fused))
        if self.observer.recording:
            size = fused.detach().abs().mean(1, keepdim=True)
            self.observer(zero_padding(size, mask), x.shape[2:])
        return unless_padding(torch.cat([fused, rest], 1), x, mask)
