from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vidattn.attention.convolutions import CONVOLUTION, kernel_sizes
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind
from vidattn.attention.spatial.self_attention import SelfAttention


class UniformerGlobal(Mechanism):
    """Every position reads from every other, after a small convolution told it where it is.

    x₁ = x + DWConv(x), y = x₁ + MHSA(LN x₁), the convolution depthwise with zeros beyond the
    border, which is what positions are known by: the dynamic position embedding and the global
    relation aggregator. The local aggregator of the same paper is a depthwise convolution between
    two pointwise ones: its affinities are parameters, the same at every position and for every
    input, so that there is no map to show, and it is not here.

    Source: Li et al., UniFormer, ICLR 2022, without the MLP that follows.

    Args:
        channels: C.
        spatial_dims: number of position axes.
        heads: must divide C.
        kernel_size: of the convolution; odd.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Li et al., UniFormer, ICLR 2022"
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        heads: int = 8,
        kernel_size: int | tuple[int, ...] = 3,
    ) -> None:
        super().__init__()
        sizes = kernel_sizes("kernel_size", kernel_size, spatial_dims)
        self.ranks = (spatial_dims,)
        self.position = CONVOLUTION[spatial_dims](
            channels, channels, sizes, padding=tuple(size // 2 for size in sizes), groups=channels
        )
        self.relation = SelfAttention(channels, heads=heads)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        placed = x + zero_padding(self.position(zero_padding(x, mask)), mask)
        y: Tensor = self.relation(placed, mask=mask)
        return y
