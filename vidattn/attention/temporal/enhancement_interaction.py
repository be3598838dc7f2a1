from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.temporal.frames import (
    RANKS,
    change_to_next,
    filter_axis,
    filter_matrix,
    frame_mean,
    like_frames,
    real_frames,
    unless_padding,
)
from vidattn.attention.temporal.shift import ShiftKernel
from vidattn.errors import ArgumentError


class EnhancementInteraction(Mechanism):
    """Strengthens the channels in which a frame differs from the next, then filters over time.

    Motion enhanced: with z_t = mean_HW(x_t), a_t = σ(W₃ (W₁ z_t − W₂ z_t+1) + b₃), u_t = x_t · a_t;
    the last frame, and one before a padded frame, passes as it is. Temporal interaction:
    y[c, t] = Σ_k w[c, k] u[c, t + k - 1], three taps for each channel, which start as the shift
    of `TemporalShift`. It stands before a convolution in a residual block, and has no
    residual of its own.

    x is (N, C, T) or (N, C, T, H, W).

    Source: Liu et al., TEINet, AAAI 2020 (https://arxiv.org/abs/1911.09435), motion enhanced and
    temporal interaction module. The paper leaves open what becomes of the last frame.

    Args:
        channels: C.
        reduction: W₁ and W₂ make C / reduction channels, rounded down, at least 1.
        division: of the shift that the filters start as; at least 2.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Liu et al., TEINet, AAAI 2020"
    map_kind: ClassVar[MapKind] = "gate"
    map_meaning: ClassVar[str] = (
        "total weight with which each channel of each frame entered the result: its own in "
        "(0, 1], times the taps that it met"
    )
    ranks: tuple[int, ...] = RANKS

    def __init__(self, channels: int, *, reduction: int = 8, division: int = 8) -> None:
        super().__init__()
        if reduction < 1:
            raise ArgumentError(f"reduction: expected at least 1, got {reduction}")
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Conv1d(channels, hidden, 1)
        self.squeeze_next = nn.Conv1d(channels, hidden, 1)
        self.excite = nn.Conv1d(hidden, channels, 1)
        self.interaction = ShiftKernel(channels, division=division)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T) or (N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        frames = real_frames(mask, x)
        weights = self._weights(x, mask, frames)
        kernel = self.interaction.weight.unsqueeze(0)
        y = filter_axis(zero_padding(x, mask) * like_frames(weights, x), kernel)
        if self.observer.recording:
            matrix = filter_matrix(kernel, weights.detach(), frames)
            self.observer(like_frames(matrix.sum(2), x), x.shape[2:], affinity=matrix)
        return unless_padding(y, x, mask)

    def _weights(self, x: Tensor, mask: Tensor | None, frames: Tensor | None) -> Tensor:
        """(N, C, T)."""
        means = frame_mean(x, mask)
        change = -change_to_next(self.squeeze(means), self.squeeze_next(means))
        weights: Tensor = self.excite(change).sigmoid()
        if frames is None:
            frames = torch.ones_like(means[:, :1], dtype=torch.bool)
        followed = nn.functional.pad(frames[:, :, 1:], (0, 1))
        return weights.where(followed, 1)
