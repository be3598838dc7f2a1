from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.covariance import RowConvolution, covariance
from vidattn.attention.mechanism import Gate


class SecondOrderChannelAttention(Gate):
    """One weight per channel, from how the channels vary together over all positions.

    z = ReLU(BN(W x + b)) with d channels at each position; S = covariance of z's channels;
    each row of BN(S) gives four numbers; a = σ(V [numbers] + c), y = x · a.

    Source: Gao, Xie, Wang, Li, GSoP, CVPR 2019. The authors' code takes the ReLU of x first, which
    in its blocks is not yet rectified.

    Args:
        channels: C.
        hidden_channels: d; None for 128 as in the paper, or C where that is less.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Gao, Xie, Wang, Li, GSoP, CVPR 2019"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    def __init__(self, channels: int, *, hidden_channels: int | None = None) -> None:
        super().__init__()
        hidden = hidden_channels or min(128, channels)
        self.reduce = nn.Linear(channels, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.rows = RowConvolution(hidden)
        self.excite = nn.Linear(4 * hidden, channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(2)
        tokens = x.flatten(2).transpose(1, 2)
        reduced = F.relu(self.norm(self.reduce(tokens).transpose(1, 2)))  # (N, d, L)
        score = self.excite(self.rows(covariance(reduced, kept)))
        return self.per_channel(score.sigmoid().to(x.dtype), x)
