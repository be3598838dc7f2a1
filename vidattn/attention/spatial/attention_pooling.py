from __future__ import annotations

from typing import ClassVar

from vidattn.attention.pooling import AttentionPooling


class SpatialAttentionPooling(AttentionPooling):
    """One vector from one image: the mean over its regions, weighted by a softmax over H and W.

    (N, C, H, W) -> features (N, C), weights (N, H, W), scores (N, H, W). For each frame of a clip:
    `PerFrame(SpatialAttentionPooling(C))`, (N, C, T, H, W) -> features (N, C, T), weights and
    scores (N, T, H, W).

    Source: Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    attention and gated attention, with regions as the instances. Their equations have no biases,
    their code has; here V and U have one.

    Args:
        channels: C.
        hidden_channels: width of the scoring network.
        gated: use the gated scoring network.
    """

    family: ClassVar[str] = "spatial"
    ranks: tuple[int, ...] = (2,)
    map_meaning: ClassVar[str] = "share of each region in the pooled vector; sums to 1 over H, W"
