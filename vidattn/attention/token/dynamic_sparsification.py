from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Reduced
from vidattn.attention.observe import MapKind
from vidattn.attention.token.binary_choice import binary_choice
from vidattn.attention.token.local_global_score import LocalGlobalScore
from vidattn.attention.token.selection import (
    Reducer,
    best_positions,
    flat_mask,
    gather_positions,
    one_hot,
)


class DynamicSparsification(Reducer):
    """Drops positions by a learned probability; in training each is kept or dropped by a draw.

    (keep, drop) = log softmax of a `LocalGlobalScore`. Evaluation: the K positions of largest
    keep. Training: all L positions stay tokens, since samples drop different numbers of them;
    source has 1 or 0 on its diagonal, a draw from the two by Gumbel softmax, τ = 1, with its
    gradient, and dropped ones are not valid. For attention among them use `policy_softmax`
    with policy = source.flatten(2).sum(2); `keep_rate_loss` of it holds the rate.

    (N, C, *positions) -> K tokens in evaluation, L in training, in their order.

    Source: Rao et al., DynamicViT, NeurIPS 2021. There K = rate · L.

    Args:
        channels: C.
        tokens: K.
    """

    source: ClassVar[str] = "Rao et al., DynamicViT, NeurIPS 2021"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = "one choice a token: 1 at the position that it took"

    def __init__(self, channels: int, *, tokens: int = 8) -> None:
        super().__init__(tokens)
        self.score = LocalGlobalScore(channels, outputs=2)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        context: Any = None,
        noise: Tensor | None = None,
    ) -> Reduced:
        """(N, C, *positions) -> K tokens, or L in training.

        Args:
            x, mask, context: see `Mechanism.forward`.
            noise: for training, standard Gumbel (N, L, 2): of keeping and of dropping.
        """
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = flat_mask(x, mask)
        keep, drop = self.score(x.flatten(2).transpose(1, 2), kept).log_softmax(2).unbind(2)
        length = keep.shape[1]
        if not self.training:
            index = best_positions(keep, self.tokens, kept)
            source = one_hot(index, length).to(keep.dtype)
            return self.shown(x, gather_positions(x, index), source, index < length)
        policy = binary_choice(keep - drop, noise, temperature=1.0)
        policy = policy if kept is None else policy.masked_fill(~kept, 0)
        features = x.flatten(2) * policy.unsqueeze(1).to(x.dtype)
        return self.shown(x, features, torch.diag_embed(policy), policy.detach() > 0)
