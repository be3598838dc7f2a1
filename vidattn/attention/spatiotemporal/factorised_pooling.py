from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import PositionScore, pool
from vidattn.attention.views import fold_frames, fold_mask, unfold_frames


class FactorisedAttentionPooling(Mechanism):
    """One vector from a clip: a softmax over H and W in each frame, then one over T.

    (N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W), as from
    `JointAttentionPooling`: with r the weights of regions in their frame and s the scores of
    frames, the joint score is s + log r, so that `Pooled.frame_scores` is s and
    `region_weights` is r. A frame is scored by its pooled vector, not by its loudest region.

    Source: Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    attention and gated attention, twice: regions, then frames.

    Args:
        channels: C.
        hidden_channels: width of both scoring networks.
        gated: use the gated scoring network.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = (
        "Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018"
    )
    ranks: tuple[int, ...] = (3,)
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "weight of the frame times weight of the region in its frame"

    def __init__(self, channels: int, *, hidden_channels: int = 128, gated: bool = False) -> None:
        super().__init__()
        self.region_score = PositionScore(channels, hidden_channels=hidden_channels, gated=gated)
        self.frame_score = PositionScore(channels, hidden_channels=hidden_channels, gated=gated)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W)."""
        self.check_rank(x)
        batch, _, frames = x.shape[:3]
        x = zero_padding(x, mask)
        kept = None if mask is None else mask.expand(batch, 1, *x.shape[2:])
        frame_kept = None if kept is None else kept.flatten(3).any(3)

        folded = fold_frames(x)
        region_mask = None if kept is None else fold_mask(kept, batch, frames)
        regions = pool(folded, self.region_score(folded), region_mask)
        frame_features = unfold_frames(regions.features, frames)  # (N, C, T)
        moments = pool(frame_features, self.frame_score(frame_features), frame_kept)

        shape = (batch, frames, *x.shape[3:])
        log_regions = regions.scores.flatten(1).log_softmax(1).reshape(shape)
        weights = moments.weights[..., None, None] * regions.weights.reshape(shape)
        # At padding one of the two is the lowest number, and what is added to that is rounded away.
        scores = moments.scores[..., None, None] + log_regions
        self.observer(weights.unsqueeze(1), x.shape[2:])
        return Pooled(moments.features, weights, scores)
