from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import CONVOLUTION
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.temporal.frames import (
    RANKS,
    check_temporal,
    frame_mean,
    like_frames,
    real_with_next,
    unless_padding,
)
from vidattn.attention.temporal.motion_excitation import FrameChange
from vidattn.attention.temporal.shift import ShiftKernel


class ActionExcitation(Mechanism):
    """Weights for moments, for channels and for motion, added up, on a clip that is shifted first.

    x̃ = learned temporal shift of x (see `TemporalShift`);
    spatio-temporal: s = σ(K ∗ mean_C(x̃)), K of 3 × 3 × 3, one weight per position;
    channel: c = σ(W₂ ReLU(K' ∗ (W₁ mean_HW(x̃)))), K' of 3 frames, one per channel and frame;
    motion: m = σ(V₂ mean_HW(d)), with d[t] = (D ∗ b)[t + 1] - b[t] and b = BN(V₁ x̃), as in
    `MotionExcitation`, but without its last normalisation and its -½;
    y = x̃ · (1 + s) + x̃ · (1 + c) + x̃ · (1 + m). It stands before a convolution in a residual
    block, and has no residual of its own.

    x is (N, C, T) or (N, C, T, H, W). A difference with a padded position counts as none.

    Source: Wang, She, Smolic, CVPR 2021 (ACTION-Net). Without biases, as in the authors'
    code, which computes all three from the shifted clip.

    Args:
        channels: C.
        spatial_dims: 1 or 3; in 1-D, K is 3 frames wide and D is one number for each channel.
        reduction: the narrow layers have C / reduction channels, rounded down, at least 1.
        division: of the shift.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Wang, She, Smolic, CVPR 2021 (ACTION-Net)"
    map_kind: ClassVar[MapKind] = "gate"
    map_meaning: ClassVar[str] = (
        "what the shifted clip was multiplied by: 3 + the three weights, in (3, 6)"
    )
    ranks: tuple[int, ...] = RANKS

    def __init__(
        self, channels: int, *, spatial_dims: int = 3, reduction: int = 16, division: int = 8
    ) -> None:
        super().__init__()
        check_temporal("ActionExcitation", spatial_dims)
        hidden = max(1, channels // reduction)
        self.ranks = (spatial_dims,)
        self.shift = ShiftKernel(channels, division=division)
        self.moments = CONVOLUTION[spatial_dims](1, 1, 3, padding=1, bias=False)
        self.channel_squeeze = nn.Conv1d(channels, hidden, 1, bias=False)
        self.channel_mix = nn.Conv1d(hidden, hidden, 3, padding=1, bias=False)
        self.channel_excite = nn.Conv1d(hidden, channels, 1, bias=False)
        self.change = FrameChange(channels, hidden, spatial_dims=spatial_dims)
        self.motion_excite = nn.Conv1d(hidden, channels, 1, bias=False)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T) or (N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        shifted = zero_padding(self.shift(zero_padding(x, mask)), mask)
        moments: Tensor = self.moments(shifted.mean(1, keepdim=True)).sigmoid()
        per_frame = self._channel_weights(shifted, mask) + self._motion_weights(shifted, mask)
        weights = 3 + moments + like_frames(per_frame, x)
        self.observer(zero_padding(weights, mask), x.shape[2:])
        return unless_padding(shifted * weights, x, mask)

    def _channel_weights(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, C, T)."""
        squeezed = self.channel_squeeze(frame_mean(x, mask))
        weights: Tensor = self.channel_excite(F.relu(self.channel_mix(squeezed))).sigmoid()
        return weights

    def _motion_weights(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, C, T)."""
        (change,) = self.change(x, mask)
        means = frame_mean(change, real_with_next(mask, x))
        weights: Tensor = self.motion_excite(means).sigmoid()
        return weights
