from __future__ import annotations

from typing import ClassVar

from vidattn.attention.spatial.self_attention import SelfAttention


class RegisterSelfAttention(SelfAttention):
    """Self-attention with learned tokens beside the positions: somewhere to put what has no place.

    Every position may read from R registers too; their own results are dropped. Without them
    networks keep global notes at positions of no interest, which then shine in the maps. Maps
    leave the registers out: what the positions received sums to 1 less the registers' share.
    Here each layer has its own; in the paper they go through all layers of a transformer.

    Source: Darcet et al., Vision Transformers Need Registers, ICLR 2024.

    Args:
        channels: C.
        heads: must divide C.
        registers: R.
    """

    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Darcet et al., Vision Transformers Need Registers, ICLR 2024"
    map_meaning: ClassVar[str] = (
        "attention each position received, mean over queries; sums to 1 less what registers took"
    )

    def __init__(self, channels: int, *, heads: int = 8, registers: int = 4) -> None:
        super().__init__(channels, heads=heads, registers=registers)
