from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind
from vidattn.attention.spatial.self_attention import SelfAttention
from vidattn.attention.views import OverTime, PerFrame
from vidattn.errors import ArgumentError


class FactorisedSelfAttention(Mechanism):
    """Each position reads from the others in its frame, then from the other moments at its site.

    y₁ = x + MHSA_HW(LN x), y = y₁ + MHSA_T(LN y₁): L·(T + H·W) pairs in place of L². The
    temporal output projection starts at 0, so that a network of images is one of clips.

    Source: Arnab et al., ViViT, ICCV 2021, section 3.3, model 3, without the MLP that follows. The
    paper found both orders alike.

    Args:
        channels: C.
        heads: of both; must divide C.
        order: which comes first. "time_space" is the order of `DividedSpaceTime`.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Arnab et al., ViViT, ICCV 2021, section 3.3, model 3"
    ranks: tuple[int, ...] = (3,)
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = (
        "two maps: attention each position received in its frame, and each moment at its site"
    )

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        order: Literal["space_time", "time_space"] = "space_time",
    ) -> None:
        super().__init__()
        if order not in ("space_time", "time_space"):
            raise ArgumentError(f"order: expected 'space_time' or 'time_space', got {order!r}")
        self.order = order
        self.spatial = PerFrame(SelfAttention(channels, heads=heads))
        self.temporal = OverTime(SelfAttention(channels, heads=heads, zero_start=True))

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        stages = [self.spatial, self.temporal]
        for stage in stages if self.order == "space_time" else reversed(stages):
            x = stage(x, mask=mask)
        return x
