from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.attention.temporal.frames import RANKS, frame_mean, like_frames, real_frames
from vidattn.errors import ArgumentError


class TemporalSqueezeExcitation(Gate):
    """One weight per frame, from the mean of every frame through a small two-layer network.

    s[t] = mean of frame t over channels and positions; a = σ(W₂ ReLU(W₁ s + b₁) + b₂), y = x · a.
    W₁ and W₂ are filters of `kernel` frames, so that any T will do; or, with `frames`, full
    matrices that see the whole clip but only one T.

    x is (N, C, T) or (N, C, T, H, W).

    Source: Hu, Shen, Sun, Squeeze-and-Excitation, CVPR 2018, with time in the place of the
    channels.

    Args:
        channels: C; the weights do not depend on it.
        hidden_units: of the hidden layer, for each frame; in the full form for all together.
        kernel: odd number of frames that each filter sees; not used in the full form.
        frames: T, for the full form; None for filters.
    """

    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Hu, Shen, Sun, Squeeze-and-Excitation, CVPR 2018, over time"
    map_meaning: ClassVar[str] = "what each frame was multiplied by, in (0, 1)"
    ranks: tuple[int, ...] = RANKS

    def __init__(
        self, channels: int, *, hidden_units: int = 4, kernel: int = 3, frames: int | None = None
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ArgumentError(f"kernel: expected an odd size, got {kernel}")
        self.frames = frames
        self.squeeze: nn.Module
        self.excite: nn.Module
        if frames is None:
            self.squeeze = nn.Conv1d(1, hidden_units, kernel, padding=kernel // 2)
            self.excite = nn.Conv1d(hidden_units, 1, kernel, padding=kernel // 2)
        else:
            self.squeeze = nn.Linear(frames, hidden_units)
            self.excite = nn.Linear(hidden_units, frames)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, 1, T, 1, …)."""
        if self.frames is not None and x.shape[2] != self.frames:
            raise ArgumentError(
                "TemporalSqueezeExcitation: expected x with T = "
                f"{self.frames} frames, got {x.shape[2]}"
            )
        hidden = F.relu(self.squeeze(frame_mean(x, mask).mean(1, keepdim=True)))
        if self.frames is None:
            hidden = zero_padding(hidden, real_frames(mask, x))
        return like_frames(self.excite(hidden).sigmoid(), x)
