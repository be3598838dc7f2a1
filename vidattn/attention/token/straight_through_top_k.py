from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from vidattn.attention.masking import masked_softmax
from vidattn.attention.token.selection import TopK, best_positions, one_hot
from vidattn.errors import ArgumentError


class StraightThroughTopK(TopK):
    """The K best positions; in training the choice has the gradient of a soft weight instead.

    source = onehot + w − stop(w) at the chosen positions, where w = σ(s), or the softmax of s
    over all positions. There is no noise: training and evaluation return the same numbers.

    (N, C, *positions) -> features (N, C, K), source (N, K, *positions), valid (N, K).

    Source: Bengio, Léonard, Courville, arXiv:1308.3432 (the straight-through estimator), for each
    of the K positions.

    Args:
        channels: C.
        tokens: K.
        hidden_channels: width of the scoring network.
        surrogate: "sigmoid" moves the score of each chosen position by itself; "softmax" moves
            those of the others the other way.
    """

    source: ClassVar[str] = "Bengio, Léonard, Courville, arXiv:1308.3432"

    def __init__(
        self,
        channels: int,
        *,
        tokens: int = 8,
        hidden_channels: int = 128,
        surrogate: Literal["sigmoid", "softmax"] = "sigmoid",
    ) -> None:
        super().__init__(channels, tokens=tokens, hidden_channels=hidden_channels)
        if surrogate not in ("sigmoid", "softmax"):
            raise ArgumentError(f"surrogate: expected 'sigmoid' or 'softmax', got {surrogate!r}")
        self.surrogate = surrogate

    def choice(self, scores: Tensor, kept: Tensor | None, noise: Tensor | None) -> Tensor:
        """See `TopK.choice`; noise must be None.

        Raises:
            ArgumentError: there is noise.
        """
        if noise is not None:
            raise ArgumentError("noise: expected None: StraightThroughTopK draws nothing")
        soft = scores.sigmoid() if self.surrogate == "sigmoid" else None
        soft = masked_softmax(scores, kept, dim=1) if soft is None else soft
        hard = one_hot(best_positions(scores.detach(), self.tokens, kept), scores.shape[1])
        return hard * (1 + (soft - soft.detach())).unsqueeze(1)
