from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.errors import ArgumentError

Normalisation = Literal["none", "relu", "softmax"]


class BottomUpAttentionPooling(Mechanism):
    """One vector from all positions, weighed by a signed linear map that no softmax bounds.

    s_p = b · x_p, features = Σ_p s_p x_p / L. A linear layer behind it, of rows a_k, makes the
    paper's class scores, Tr(Xᵀ X b a_kᵀ) / L: second-order pooling with weights of rank 1, where
    b is the bottom-up map that all classes share and a_k · x_p the top-down map of class k.
    Weights have either sign and sum to nothing in particular.

    (N, C, *positions) -> features (N, C), weights and scores (N, *positions).

    Source: Girdhar, Ramanan, Attentional Pooling, NeurIPS 2017.

    Args:
        channels: C.
        normalisation: of the map: "none" as in the equations, "relu" (negative ones are 0), or
            "softmax" over the positions in place of the division by L.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Girdhar, Ramanan, Attentional Pooling, NeurIPS 2017"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "what each position was multiplied by in the sum, of either sign"
    weights_sum_to_one: ClassVar[bool] = False

    def __init__(self, channels: int, *, normalisation: Normalisation = "none") -> None:
        super().__init__()
        if normalisation not in ("none", "relu", "softmax"):
            raise ArgumentError(
                f"normalisation: expected 'none', 'relu' or 'softmax', got {normalisation!r}"
            )
        self.normalisation = normalisation
        self.bottom_up = nn.Linear(channels, 1, bias=False)
        nn.init.normal_(self.bottom_up.weight, std=1e-3)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, *positions) -> features (N, C), weights and scores (N, *positions)."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        scores = single_precision(self.bottom_up(x.movedim(1, -1))).flatten(1)
        weights = self.weigh(scores, kept)
        features = (x.flatten(2) @ weights.to(x.dtype).unsqueeze(2)).squeeze(2)
        weights = weights.unflatten(1, x.shape[2:])
        self.observer(weights.unsqueeze(1), x.shape[2:])
        return Pooled(features, weights, lowest_at_padding(scores, kept).unflatten(1, x.shape[2:]))

    def weigh(self, scores: Tensor, kept: Tensor | None) -> Tensor:
        """(N, L), 0 at padding -> (N, L), 0 at padding."""
        if self.normalisation == "softmax":
            return masked_softmax(scores, kept, dim=1)
        scores = scores.relu() if self.normalisation == "relu" else scores
        if kept is None:
            return scores / scores.shape[1]
        count = kept.sum(1, keepdim=True).clamp(min=1)
        return scores / count
