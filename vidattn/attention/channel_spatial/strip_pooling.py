from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.channel_spatial.axes import along, axis_means
from vidattn.attention.convolutions import CONVOLUTION, kernel_sizes
from vidattn.attention.mechanism import Gate


class StripPooling(Gate):
    """Weights from long thin windows: the means along each row and column, mixed over channels.

    z_k = mean of x over all axes but k; u_k = BN(K_k ∗ z_k), K_k without bias;
    a = σ(W ReLU(u_T + u_H + u_W) + b), with the axes that x has; y = x · a.

    Source: Hou, Zhang, Cheng, Feng, Strip Pooling, CVPR 2020, for H and W; here T is a third axis
    treated alike. Normalisations as in the authors' code.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        kernel_size: odd, of every K.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Hou, Zhang, Cheng, Feng, Strip Pooling, CVPR 2020"
    map_meaning: ClassVar[str] = "what each feature was multiplied by, in (0, 1)"
    weighs_time: ClassVar[bool] = True

    def __init__(self, channels: int, *, spatial_dims: int = 3, kernel_size: int = 3) -> None:
        super().__init__()
        kernel_sizes("kernel_size", kernel_size, 1)
        self.ranks = (spatial_dims,)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
            for _ in range(spatial_dims)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(spatial_dims))
        self.fuse = CONVOLUTION[spatial_dims](channels, channels, 1)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        strips = zip(axis_means(x, mask), self.convolutions, self.norms, strict=True)
        spread = [
            along(norm(convolution(strip)), axis, x.ndim)
            for axis, (strip, convolution, norm) in enumerate(strips)
        ]
        weights: Tensor = self.fuse(F.relu(reduce(add, spread))).sigmoid()
        return weights
