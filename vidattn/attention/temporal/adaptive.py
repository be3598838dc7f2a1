from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.temporal.frames import (
    RANKS,
    filter_axis,
    filter_matrix,
    frame_mean,
    like_frames,
    real_frames,
    unless_padding,
)
from vidattn.errors import ArgumentError


class TemporalAdaptive(Mechanism):
    """Each channel of each frame gets a weight, then each channel its own filter over time.

    θ = mean of each frame, (N, C, T);
    local weights a = σ(W₂ ReLU(BN(K ∗ θ))), K three frames wide;
    global kernel κ = softmax(V₂ ReLU(BN(V₁ θ))), one of `kernel` taps for each channel, from
    the T means of that channel; y = κ ∗ (x · a) over time, with zeros beyond the ends.
    There is no residual: it stands in a residual block, behind the first convolution.

    x is (N, C, T) or (N, C, T, H, W). T is fixed, because V₁ reads all of it.

    Source: Liu et al., TAM, ICCV 2021, local and global branch. As in the authors' code: no biases,
    and the batch normalisation of the global branch is over samples and channels.

    Args:
        channels: C.
        frames: T.
        kernel: odd number of taps of κ and of K.
        reduction: the local branch has C / reduction hidden channels, rounded down, at least 1.
        expansion: the global branch has T · expansion hidden units.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Liu et al., TAM, ICCV 2021, local and global branch"
    map_kind: ClassVar[MapKind] = "gate"
    map_meaning: ClassVar[str] = (
        "total weight with which each channel of each frame entered the result, in (0, 1): its "
        "local weight times the taps that met it"
    )
    fixed_size: ClassVar[bool] = True
    ranks: tuple[int, ...] = RANKS

    def __init__(
        self,
        channels: int,
        *,
        frames: int = 8,
        kernel: int = 3,
        reduction: int = 4,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ArgumentError(f"kernel: expected an odd size, got {kernel}")
        hidden = max(1, channels // reduction)
        self.frames = frames
        self.local_squeeze = nn.Conv1d(channels, hidden, kernel, padding=kernel // 2, bias=False)
        self.local_norm = nn.BatchNorm1d(hidden)
        self.local_excite = nn.Conv1d(hidden, channels, 1, bias=False)
        self.global_squeeze = nn.Linear(frames, frames * expansion, bias=False)
        self.global_norm = nn.BatchNorm1d(frames * expansion)
        self.global_excite = nn.Linear(frames * expansion, kernel, bias=False)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T) or (N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        if x.shape[2] != self.frames:
            raise ArgumentError(
                f"TemporalAdaptive: expected x with T = {self.frames} frames, got {x.shape[2]}"
            )
        real = zero_padding(x, mask)
        means = frame_mean(real, mask)
        weights, kernel = self._local_weights(means), self._global_kernel(means)
        y = filter_axis(real * like_frames(weights, x), kernel.to(x.dtype))
        if self.observer.recording:
            matrix = filter_matrix(kernel, weights, real_frames(mask, x))
            values = like_frames(matrix.sum(2), x)
            self.observer(values, x.shape[2:], affinity=matrix)
        return unless_padding(y, x, mask)

    def _local_weights(self, means: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, T)."""
        hidden = F.relu(self.local_norm(self.local_squeeze(means)))
        weights: Tensor = self.local_excite(hidden).sigmoid()
        return weights

    def _global_kernel(self, means: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, K), rows summing to 1."""
        hidden = F.relu(self.global_norm(self.global_squeeze(means.flatten(0, 1))))
        scores = single_precision(self.global_excite(hidden))
        return scores.softmax(1).unflatten(0, means.shape[:2])
