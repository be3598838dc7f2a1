from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.temporal.frames import (
    change_to_next,
    frame_convolution,
    real_with_next,
    unless_padding,
)
from vidattn.attention.temporal.long_term_difference import halved
from vidattn.errors import ArgumentError

# Frames on each side of the middle one.
REACH = 2


class ShortTermDifference(Mechanism):
    """What changes among five frames around each is read at half the size and added to it.

    D[t] = the four differences x[t+j+1] - x[t+j], j = -2 … 1, side by side as channels, 0 where
    there is no such frame; y = x + up(ReLU(BN(K ∗ halved D))), K of 3 × 3 from 4 C channels to C,
    halving by 2 × 2 means and nearest neighbours back up. There are no weights that depend on x.

    (N, C, T, H, W) with H and W at least 2: it works at two scales in space, so there is no 1-D
    form. A difference with a padded position counts as 0.

    Source: Wang, Tong, Ji, Wu, CVPR 2021 (TDN), short-term module. Theirs
    reads five RGB frames around each sampled one, in a network's first layers and with more
    of them; this is the same step among the frames of any features, with one layer.

    Args:
        channels: C.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Wang, Tong, Ji, Wu, CVPR 2021 (TDN), short-term module"
    map_kind: ClassVar[MapKind] = "response"
    map_meaning: ClassVar[str] = "magnitude of what was added at each position, mean over channels"
    ranks: tuple[int, ...] = (3,)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = frame_convolution(2 * REACH * channels, channels, size=3, spatial_dims=3)
        self.norm = nn.BatchNorm3d(channels)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        if min(x.shape[3:]) < 2:
            raise ArgumentError(
                f"ShortTermDifference: expected H and W of at least 2, got {tuple(x.shape[3:])}"
            )
        changes = self._changes(x, mask)
        read = F.relu(self.norm(self.convolution(halved(changes))))
        added = F.interpolate(read, size=x.shape[2:])
        if self.observer.recording:
            size = added.detach().abs().mean(1, keepdim=True)
            self.observer(zero_padding(size, mask), x.shape[2:])
        return unless_padding(x + added, x, mask)

    def _changes(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x, 0 at padding -> (N, 4 · C, T, H, W)."""
        change = change_to_next(x, x)
        change = zero_padding(change, real_with_next(mask, x))
        padded = F.pad(change, [0, 0, 0, 0, REACH, REACH])
        return torch.cat([padded.narrow(2, start, x.shape[2]) for start in range(2 * REACH)], 1)
