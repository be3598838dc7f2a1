from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.mechanism import Gate
from vidattn.attention.temporal.frames import frame_convolution
from vidattn.attention.temporal.motion_excitation import FrameChange
from vidattn.errors import ArgumentError


class LongTermDifference(Gate):
    """One weight per channel and position, from how a frame differs from both its neighbours.

    b = BN(W₁ x); forward d⁺[t] = (D ∗ b)[t + 1] - b[t], backward d⁻[t] = (D ∗ b)[t - 1] - b[t],
    D a 3 × 3 filter for each channel, 0 where there is no such frame. For each of the two,
    g(d) = σ(BN(W₂ (d + up(BN(K₁ ∗ halved d)) + BN(K₂ ∗ d)) / 3)) - ½, with K of 3 × 3, halving
    by 2 × 2 means and nearest neighbours back up; a = (g(d⁺) + g(d⁻)) / 2, y = x + x · a.

    (N, C, T, H, W) with H and W at least 2: the two scales in space are what it is about, so
    there is no 1-D form. A difference with a padded position counts as 0.

    Source: Wang, Tong, Ji, Wu, CVPR 2021 (TDN), long-term module. Without biases, as in the
    authors' code since March 2021; before, it computed K₂'s branch for d⁻ from d⁺ by mistake.

    Args:
        channels: C.
        reduction: b has C / reduction channels, rounded down, at least 1.
    """

    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Wang, Tong, Ji, Wu, CVPR 2021 (TDN), long-term module"
    map_meaning: ClassVar[str] = "what each feature was multiplied by, in (0.5, 1.5)"
    ranks: tuple[int, ...] = (3,)

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.change = FrameChange(channels, hidden, spatial_dims=3)
        self.half_scale = frame_convolution(hidden, hidden, size=3, spatial_dims=3)
        self.half_norm = nn.BatchNorm3d(hidden)
        self.full_scale = frame_convolution(hidden, hidden, size=3, spatial_dims=3)
        self.full_norm = nn.BatchNorm3d(hidden)
        self.excite = frame_convolution(hidden, channels, spatial_dims=3)
        self.norm = nn.BatchNorm3d(channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, T, H, W)."""
        if min(x.shape[3:]) < 2:
            raise ArgumentError(
                f"LongTermDifference: expected H and W of at least 2, got {tuple(x.shape[3:])}"
            )
        forward, backward = self.change(x, mask, backwards=(False, True))
        change = self._gate(forward) + self._gate(backward)
        return 0.5 + change / 2

    def _gate(self, change: Tensor) -> Tensor:
        full = self.full_norm(self.full_scale(change))
        half = self.half_norm(self.half_scale(halved(change)))
        half = F.interpolate(half, size=change.shape[2:])
        weights: Tensor = self.norm(self.excite((change + half + full) / 3)).sigmoid()
        return weights


def halved(x: Tensor) -> Tensor:
    """(N, C, T, H, W) -> (N, C, T, H // 2, W // 2), by means; an odd last row is left out."""
    height, width = x.shape[3] // 2 * 2, x.shape[4] // 2 * 2
    rows = x[:, :, :, 0:height:2] + x[:, :, :, 1:height:2]
    return (rows[..., 0:width:2] + rows[..., 1:width:2]) / 4
