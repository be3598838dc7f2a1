from __future__ import annotations

from typing import ClassVar

from vidattn.attention.pooling import AttentionPooling


class TemporalAttentionPooling(AttentionPooling):
    """One vector from many frames: their mean, weighted by a softmax over T of learned scores.

    (N, C, T) -> features (N, C), weights (N, T), scores (N, T). Features that still have height
    and width are pooled over space first, by `SpatialAttentionPooling` or a mean.

    Source: Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    attention and gated attention, with frames as the instances. Their equations have no biases,
    their code has; here V and U have one.

    Args:
        channels: C.
        hidden_channels: width of the scoring network.
        gated: use the gated scoring network.
    """

    family: ClassVar[str] = "temporal"
    ranks: tuple[int, ...] = (1,)
    map_meaning: ClassVar[str] = "share of each frame in the pooled vector; sums to 1 over T"
