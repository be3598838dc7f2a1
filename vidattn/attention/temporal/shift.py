from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.temporal.frames import (
    RANKS,
    filter_axis,
    filter_matrix,
    like_frames,
    real_frames,
    unless_padding,
)
from vidattn.errors import ArgumentError


class ShiftKernel(nn.Module):
    """One filter of three taps over time for each channel, which starts as a shift.

    The first C / division channels come from the next frame, as many from the one before.

    Args:
        channels: C.
        division: see above, rounded down; at least 2.
    """

    def __init__(self, channels: int, *, division: int) -> None:
        super().__init__()
        if division < 2:
            raise ArgumentError(f"division: expected at least 2, got {division}")
        moved = channels // division
        taps = torch.full((channels,), 1)
        taps[:moved], taps[moved : 2 * moved] = 2, 0
        self.weight = nn.Parameter(nn.functional.one_hot(taps, 3).to(torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, …) -> the same shape, zeros coming in at the ends."""
        return filter_axis(x, self.weight.unsqueeze(0))


class TemporalShift(Mechanism):
    """Some channels are taken from the next frame and some from the one before.

    y[c, t] = Σ_k w[c, k] x[c, t + k - 1], k in {0, 1, 2}, with zeros beyond the ends. At the start
    w is (0, 0, 1) for the first C / division channels, (1, 0, 0) for as many more and (0, 1, 0)
    for the rest. Keep w from learning (`requires_grad_(False)`) for the shift of the paper.
    The weights do not depend on x: it is no attention, but what several mechanisms stand on.

    x is (N, C, T) or (N, C, T, H, W).

    Source: Lin, Gan, Han, TSM, ICCV 2019, bi-directional shift; learned as in Li et al., TEA, CVPR
    2020, and Wang, She, Smolic, CVPR 2021.

    Args:
        channels: C.
        division: see above; at least 2.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Lin, Gan, Han, TSM, ICCV 2019, bi-directional shift"
    map_kind: ClassVar[MapKind] = "gate"
    map_meaning: ClassVar[str] = (
        "total weight with which each channel of each frame entered the result; it does not "
        "depend on x"
    )
    ranks: tuple[int, ...] = RANKS

    def __init__(self, channels: int, *, division: int = 8) -> None:
        super().__init__()
        self.kernel = ShiftKernel(channels, division=division)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T) or (N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        y: Tensor = self.kernel(zero_padding(x, mask))
        if self.observer.recording:
            everywhere = torch.ones_like(self.kernel.weight[:1, :1]).expand(*x.shape[:3])
            matrix = filter_matrix(
                self.kernel.weight.unsqueeze(0), everywhere, real_frames(mask, x)
            )
            self.observer(like_frames(matrix.sum(2), x), x.shape[2:], affinity=matrix)
        return unless_padding(y, x, mask)
