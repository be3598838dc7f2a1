from __future__ import annotations

from typing import ClassVar

from vidattn.attention.pooling import AttentionPooling


class JointAttentionPooling(AttentionPooling):
    """One vector from a clip, by one softmax over all positions of T·H·W.

    (N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W). `Pooled.frame_scores`,
    `frame_weights` and `region_weights` say when and where: with scores s and weights w, a
    frame's score is log Σ exp s over its positions, its weight Σ w, and its regions' weights
    are the softmax of s within it, so that w = frame weight × region weight.

    Source: Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    attention and gated attention, with positions as the instances. Their equations have no biases,
    their code has; here V and U have one.

    Args:
        channels: C.
        hidden_channels: width of the scoring network.
        gated: use the gated scoring network.
    """

    family: ClassVar[str] = "spatiotemporal"
    ranks: tuple[int, ...] = (3,)
    map_meaning: ClassVar[str] = "share of each position in the pooled vector; sums to 1 over all"
