from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.convolutions import BATCH_NORM
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.attention.temporal.frames import (
    RANKS,
    change_to_next,
    check_temporal,
    frame_convolution,
    frame_mean,
    like_frames,
    real_with_next,
)


class FrameChange(nn.Module):
    """What changes from each frame to its neighbour, in few channels.

    b = BN(W x), d[t] = (D ∗ b)[t ± 1] - b[t], D one 3 × 3 filter for each channel; 0 where
    there is no such frame, or one of the two is padding.

    Args:
        channels: C.
        hidden: channels of b.
        spatial_dims: 1 or 3; in 1-D, D is one number for each channel.
    """

    def __init__(self, channels: int, hidden: int, *, spatial_dims: int) -> None:
        super().__init__()
        self.squeeze = frame_convolution(channels, hidden, spatial_dims=spatial_dims)
        self.norm = BATCH_NORM[spatial_dims](hidden)
        self.transform = frame_convolution(
            hidden, hidden, size=3, groups=hidden, spatial_dims=spatial_dims
        )

    def forward(
        self, x: Tensor, mask: Tensor | None, *, backwards: Sequence[bool] = (False,)
    ) -> list[Tensor]:
        """x, 0 at padding -> the changes to the next frame or to the one before, as asked for.

        Each is (N, hidden, *positions).
        """
        squeezed = zero_padding(self.norm(self.squeeze(x)), mask)
        transformed = self.transform(squeezed)
        return [
            zero_padding(
                change_to_next(squeezed, transformed, backwards=each),
                real_with_next(mask, x, backwards=each),
            )
            for each in backwards
        ]


class MotionExcitation(Gate):
    """One weight per channel and frame, from how the frame differs from the next.

    b = BN(W₁ x), d[t] = (D ∗ b)[t + 1] - b[t], D a 3 × 3 filter for each channel, d = 0 in the
    last frame; a = σ(BN(W₂ mean_HW(d))) - ½, y = x + x · a.

    x is (N, C, T) or (N, C, T, H, W). A difference with a padded position counts as none.

    Source: Li et al., TEA, CVPR 2020, motion excitation. As in the authors' code: no biases, and a
    batch normalisation before the sigmoid.

    Args:
        channels: C.
        spatial_dims: 1 or 3; in 1-D, D is one number for each channel.
        reduction: b has C / reduction channels, rounded down, at least 1.
    """

    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Li et al., TEA, CVPR 2020, motion excitation"
    map_meaning: ClassVar[str] = "what each channel of each frame was multiplied by, in (0.5, 1.5)"
    ranks: tuple[int, ...] = RANKS

    def __init__(self, channels: int, *, spatial_dims: int = 3, reduction: int = 16) -> None:
        super().__init__()
        check_temporal("MotionExcitation", spatial_dims)
        hidden = max(1, channels // reduction)
        self.ranks = (spatial_dims,)
        self.change = FrameChange(channels, hidden, spatial_dims=spatial_dims)
        self.excite = nn.Conv1d(hidden, channels, 1, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, T, 1, …)."""
        (change,) = self.change(x, mask)
        means = frame_mean(change, real_with_next(mask, x))
        return like_frames(0.5 + self.norm(self.excite(means)).sigmoid(), x)
