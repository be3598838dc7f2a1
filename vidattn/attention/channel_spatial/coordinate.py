from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.channel_spatial.axes import axis_means, product
from vidattn.attention.mechanism import Gate


class CoordinateAttention(Gate):
    """One weight per channel and row, times one per channel and column, times one per frame.

    z_k = mean of x over all axes but k; u = h(BN(W [z_T; z_H; z_W] + b)), h the hard swish;
    a_k = σ(W_k u_k + b_k); y = x · a_T · a_H · a_W, with the axes that x has.

    Source: Hou, Zhou, Feng, Coordinate Attention, CVPR 2021, for H and W; here T is a third axis
    treated alike. With biases, as in the authors' code.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        reduction: u has C / reduction channels, rounded down.
        min_hidden: but at least so many.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Hou, Zhou, Feng, Coordinate Attention, CVPR 2021"
    map_meaning: ClassVar[str] = "product of one weight per channel and axis, in (0, 1)"
    weighs_time: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        reduction: int = 32,
        min_hidden: int = 8,
    ) -> None:
        super().__init__()
        hidden = max(min_hidden, channels // reduction)
        self.ranks = (spatial_dims,)
        self.squeeze = nn.Conv1d(channels, hidden, 1)
        self.norm = nn.BatchNorm1d(hidden)
        self.excite = nn.ModuleList(nn.Conv1d(hidden, channels, 1) for _ in range(spatial_dims))

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        hidden = F.hardswish(self.norm(self.squeeze(torch.cat(axis_means(x, mask), dim=2))))
        parts = hidden.split(list(x.shape[2:]), dim=2)
        gates = [excite(part).sigmoid() for excite, part in zip(self.excite, parts, strict=True)]
        return product(gates, x.ndim)
