from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.channel_spatial.channel_affinity import ChannelAffinity
from vidattn.attention.channel_spatial.position_attention import PositionAttention
from vidattn.attention.convolutions import BATCH_NORM, CONVOLUTION, stored_like
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind


class DualAttention(Mechanism):
    """Attention between positions and attention between channels, side by side, added up.

    y = B_p(P(A_p(x))) + B_c(Q(A_c(x))), with P a `PositionAttention`, Q a `ChannelAffinity`,
    and A and B convolutions of size 3 with batch normalisation and ReLU; A narrows the channels.

    Source: Fu et al., DANet, CVPR 2019, the head without its last layer.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        hidden_channels: of P and Q; None for C / 4, rounded down, at least 1.
        out_channels: of y; None for C. The authors' head has hidden_channels.
    """

    family: ClassVar[str] = "channel_spatial"
    kind: ClassVar[Kind] = "replacement"
    source: ClassVar[str] = "Fu et al., DANet, CVPR 2019"
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = "two maps: see position_attention and channel_affinity"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        hidden_channels: int | None = None,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        hidden, out = hidden_channels or max(1, channels // 4), out_channels or channels
        self.ranks = (spatial_dims,)
        self.before_position = _convolution(channels, hidden, spatial_dims)
        self.before_channel = _convolution(channels, hidden, spatial_dims)
        self.position = PositionAttention(hidden)
        self.channel = ChannelAffinity(hidden)
        self.after_position = _convolution(hidden, out, spatial_dims)
        self.after_channel = _convolution(hidden, out, spatial_dims)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> (N, out_channels, *positions); 0 at padding."""
        self.check_rank(x)
        real = zero_padding(x, mask)
        position = self.position(zero_padding(self.before_position(real), mask), mask=mask)
        channel = self.channel(zero_padding(self.before_channel(real), mask))
        out = self.after_position(position) + self.after_channel(channel)
        return stored_like(x, zero_padding(out, mask))


def _convolution(channels: int, out_channels: int, spatial_dims: int) -> nn.Sequential:
    return nn.Sequential(
        CONVOLUTION[spatial_dims](channels, out_channels, 3, padding=1, bias=False),
        BATCH_NORM[spatial_dims](out_channels),
        nn.ReLU(),
    )
