from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION
from vidattn.attention.masking import masked_mean, zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class BottleneckAttention(Gate):
    """A channel's and a position's evidence added up, then one weight for each feature.

    c = W₂ ReLU(BN(W₁ mean(x))), one number per channel; s = K₃ ReLU(BN(K₂ ∗ ReLU(BN(K₁ ∗
    ReLU(BN(K₀ x)))))), one per position, with K₁ and K₂ dilated; y = x · (1 + σ(c + s)). All
    layers have biases, as in the authors' code.

    Source: Park et al., BAM, BMVC 2018. Their code, unlike their text, normalises inside each
    branch and not at its end, which is done here, and multiplies c and s, which `compat` does; the
    code's pooling of square inputs only is not repeated.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        reduction: both branches have C / reduction hidden channels, rounded down, at least 1.
        dilation: of K₁ and K₂, of size 3, one for all axes or one for each.
        compat: σ(c · s) in place of σ(c + s), for weights of the authors' code.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Park et al., BAM, BMVC 2018"
    map_meaning: ClassVar[str] = "what each feature was multiplied by, in (1, 2)"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        reduction: int = 16,
        dilation: int | Sequence[int] = 4,
        compat: bool = False,
    ) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.ranks = (spatial_dims,)
        self.compat = compat
        self.squeeze = nn.Linear(channels, hidden)
        self.squeeze_norm = nn.BatchNorm1d(hidden)
        self.excite = nn.Linear(hidden, channels)
        convolution, norm = CONVOLUTION[spatial_dims], BATCH_NORM[spatial_dims]
        dilations = _dilations(dilation, spatial_dims)
        self.convolutions = nn.ModuleList(
            [
                convolution(channels, hidden, 1),
                convolution(hidden, hidden, 3, padding=dilations, dilation=dilations),
                convolution(hidden, hidden, 3, padding=dilations, dilation=dilations),
            ]
        )
        self.norms = nn.ModuleList(norm(hidden) for _ in self.convolutions)
        self.position = convolution(hidden, 1, 1)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        hidden = F.relu(self.squeeze_norm(self.squeeze(masked_mean(x, mask))))
        channel = self.per_channel(self.excite(hidden), x)
        seen = x
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            seen = zero_padding(F.relu(norm(convolution(seen))), mask)
        position = self.position(seen)
        return 1 + (channel * position if self.compat else channel + position).sigmoid()


def _dilations(dilation: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    dilations = (dilation,) * spatial_dims if isinstance(dilation, int) else tuple(dilation)
    if len(dilations) != spatial_dims or any(one < 1 for one in dilations):
        raise ArgumentError(
            f"dilation: expected {spatial_dims} positive numbers or one, got {dilation}"
        )
    return dilations
