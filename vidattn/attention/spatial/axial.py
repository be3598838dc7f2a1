from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind
from vidattn.attention.spatial.lines import AXES, AlongAxis
from vidattn.attention.spatial.self_attention import SelfAttention


class AxialAttention(Mechanism):
    """Each position reads from the others on its line, along one axis after another.

    x ← x + MHSA_axis(LN x) for T (in 3-D), H and W in turn: L·(T + H + W) pairs in place of L².
    An axis of one position is left out.

    Source: Ho et al., Axial Attention, arXiv 1912.12180, without causal masks.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        heads: along each axis; must divide C.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Ho et al., Axial Attention, arXiv 1912.12180"
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = (
        "one map for each axis: attention each position received on its line; sums to 1 there"
    )
    ranks: tuple[int, ...] = (2, 3)

    def __init__(self, channels: int, *, spatial_dims: int = 3, heads: int = 8) -> None:
        super().__init__()
        self.ranks = (spatial_dims,)
        self.along = nn.ModuleDict(
            {
                name: AlongAxis(SelfAttention(channels, heads=heads), axis=axis)
                for axis, name in enumerate(AXES[spatial_dims])
            }
        )

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        y = x
        for axis, attention in enumerate(self.along.values()):
            if x.shape[axis + 2] != 1:
                y = attention(y, mask=mask)
        return y.clone() if y is x else y
