from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, kernel_sizes
from vidattn.attention.masking import masked_max, masked_mean, zero_padding
from vidattn.attention.mechanism import Gate


class ConvolutionalBlockAttention(Gate):
    """First one weight per channel, then one per position, from means and maxima.

    c = σ(M(mean x) + M(max x)), with one shared two-layer network M;
    s = σ(BN(K ∗ [max_C(x · c); mean_C(x · c)])); y = x · c · s.

    Source: Woo et al., CBAM, ECCV 2018. As in the authors' code, M has biases and the convolution
    is followed by a batch normalisation (momentum 0.01) in place of a bias.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        reduction: M has C / reduction hidden units, rounded down, at least 1.
        spatial_kernel: odd sizes of K, one for all axes or one for each; the paper's is 7.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Woo et al., CBAM, ECCV 2018"
    map_meaning: ClassVar[str] = "channel weight times position weight, in (0, 1)"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        reduction: int = 16,
        spatial_kernel: int | Sequence[int] = 7,
    ) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        sizes = kernel_sizes("spatial_kernel", spatial_kernel, spatial_dims)
        self.ranks = (spatial_dims,)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)
        self.convolution = CONVOLUTION[spatial_dims](
            2, 1, sizes, padding=tuple(size // 2 for size in sizes), bias=False
        )
        self.norm = BATCH_NORM[spatial_dims](1, momentum=0.01)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        channel = self._channel_weights(x, mask)
        x = x * channel
        position = zero_padding(self._position_weights(x), mask)
        if self.observer.recording:
            self.observer(channel.detach() * position.detach(), x.shape[2:])
        return x * position

    def _channel_weights(self, x: Tensor, mask: Tensor | None) -> Tensor:
        mean, largest = masked_mean(x, mask), masked_max(x, mask)
        hidden = F.relu(self.squeeze(mean)), F.relu(self.squeeze(largest))
        return self.per_channel((self.excite(hidden[0]) + self.excite(hidden[1])).sigmoid(), x)

    def _position_weights(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
        return self.norm(self.convolution(seen)).sigmoid()
