from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind
from vidattn.attention.spatial.self_attention import SelfAttention
from vidattn.attention.views import OverTime, PerFrame


class DividedSpaceTime(Mechanism):
    """Each position reads from the other moments at its site, then from the others in its frame.

    x₁ = x + MHSA_T(LN x), y = x₁ + MHSA_HW(LN x₁): L·(T + H·W) pairs in place of L².

    Source: Bertasius, Wang, Torresani, TimeSformer, ICML 2021, "divided space-time attention",
    without its class token and its MLP. Their code passes the temporal result through one more
    linear layer that starts at 0; behind the output projection it folds into it, so here the
    projection starts at 0.

    Args:
        channels: C.
        heads: of both; must divide C.
        registers: learned tokens that each frame reads from besides its own positions; one
            stands for the published model's class token.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Bertasius, Wang, Torresani, TimeSformer, ICML 2021"
    ranks: tuple[int, ...] = (3,)
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = (
        "two maps: attention each moment received at its site, and each position in its frame"
    )

    def __init__(self, channels: int, *, heads: int = 8, registers: int = 0) -> None:
        super().__init__()
        self.temporal = OverTime(SelfAttention(channels, heads=heads, zero_start=True))
        self.spatial = PerFrame(SelfAttention(channels, heads=heads, registers=registers))

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        y: Tensor = self.spatial(self.temporal(x, mask=mask), mask=mask)
        return y
