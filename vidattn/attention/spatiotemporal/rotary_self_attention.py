from __future__ import annotations

from typing import ClassVar

from vidattn.attention.rotary import RotaryPositions
from vidattn.attention.spatial.self_attention import SelfAttention


class RotarySelfAttention(SelfAttention):
    """Self-attention that knows where and when: q and k are turned by angles of their position.

    q·k then depends on the offset in time, height and width, not on the positions themselves, so
    that a longer clip or a larger frame needs nothing new. See `RotaryPositions` for which part
    of a head belongs to which axis.

    Source: Su et al., RoFormer, 2021; three axes as in Assran et al., V-JEPA 2, 2025.

    Args:
        channels: C.
        heads: must divide C; a head has at least 6 channels, two for each axis.
        base: the larger, the slower the slowest pair turns.
        compat: turn at the speeds of the published V-JEPA 2 weights; see `RotaryPositions`.
    """

    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Su et al., RoFormer, 2021; Assran et al., V-JEPA 2, 2025"

    def __init__(
        self, channels: int, *, heads: int = 2, base: float = 10_000.0, compat: bool = False
    ) -> None:
        super().__init__(channels, heads=heads)
        self.rotary = RotaryPositions(channels // heads, base=base, compat=compat)
