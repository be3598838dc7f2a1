from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, kernel_sizes
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Gate


class GlobalAttention(Gate):
    """Two weights for each feature, one after the other, with nothing pooled away.

    c = σ(W₂ ReLU(W₁ x + b₁) + b₂) at each position; s = σ(BN(K₂ ∗ ReLU(BN(K₁ ∗ (x · c)))));
    y = x · c · s. All layers have biases. K₁ and K₂ are full convolutions of C by C / r channels:
    for a clip narrow kernels or a large reduction may be needed.

    No public code confirms this formula: it follows the paper's text and figures, in which the
    normalisations of s are named but not placed.

    Source: Liu, Shao, Hoffmann, GAM, arXiv 2112.05561.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        reduction: r; C / r is rounded down, at least 1.
        kernel_size: odd, of K₁ and K₂, one for all axes or one for each.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Liu, Shao, Hoffmann, GAM, arXiv 2112.05561"
    map_meaning: ClassVar[str] = "product of two weights for each feature, in (0, 1)"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        reduction: int = 4,
        kernel_size: int | Sequence[int] = 7,
    ) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        sizes = kernel_sizes("kernel_size", kernel_size, spatial_dims)
        padding = tuple(size // 2 for size in sizes)
        convolution, norm = CONVOLUTION[spatial_dims], BATCH_NORM[spatial_dims]
        self.ranks = (spatial_dims,)
        self.squeeze = convolution(channels, hidden, 1)
        self.excite = convolution(hidden, channels, 1)
        self.narrow = convolution(channels, hidden, sizes, padding=padding)
        self.narrow_norm = norm(hidden)
        self.widen = convolution(hidden, channels, sizes, padding=padding)
        self.widen_norm = norm(channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        channel = self.excite(F.relu(self.squeeze(x))).sigmoid()
        hidden = F.relu(self.narrow_norm(self.narrow(x * channel)))
        position = self.widen_norm(self.widen(zero_padding(hidden, mask))).sigmoid()
        weights: Tensor = channel * position
        return weights
