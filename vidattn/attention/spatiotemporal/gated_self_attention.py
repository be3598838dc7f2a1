from __future__ import annotations

from typing import ClassVar

from vidattn.attention.spatial.self_attention import SelfAttention


class GatedSelfAttention(SelfAttention):
    """Self-attention whose result is weighed, channel by channel, by a gate of the reader.

    y = x + W_o [softmax(q kᵀ / √d) v ⊙ σ(W_g LN(x) + b_g)] + b_o. A position that wants nothing
    closes its gate, in place of reading from a position that means nothing.

    Source: Qiu et al., Gated Attention for Large Language Models, NeurIPS 2025: multiplicative,
    elementwise, each head its own, behind the dot-product attention (G₁).

    Args:
        channels: C.
        heads: must divide C.
    """

    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Qiu et al., Gated Attention for Large Language Models, NeurIPS 2025"

    def __init__(self, channels: int, *, heads: int = 8) -> None:
        super().__init__(channels, heads=heads, gated=True)
