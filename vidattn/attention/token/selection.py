"""Choosing K positions, and handing them on as tokens: what all token mechanisms share."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Reduced
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import PositionScore
from vidattn.errors import ArgumentError


class Reducer(Mechanism):
    """Fewer tokens: a reducer says only where they come from."""

    kind: ClassVar[Kind] = "reducer"
    family: ClassVar[str] = "token"

    def __init__(self, tokens: int) -> None:
        super().__init__()
        if tokens < 1:
            raise ArgumentError(f"tokens: expected at least 1, got {tokens}")
        self.tokens = tokens
        self.observer = Observer(self.map_kind)

    def reduced(self, x: Tensor, source: Tensor, valid: Tensor) -> Reduced:
        """What is returned, and shown to the observer.

        Args:
            x: (N, C, *positions), 0 at padding.
            source: (N, K, L), 0 at padding and where not valid.
            valid: bool (N, K).
        """
        features = x.flatten(2) @ source.to(x.dtype).transpose(1, 2)
        return self.shown(x, features, source, valid)

    def shown(self, x: Tensor, features: Tensor, source: Tensor, valid: Tensor) -> Reduced:
        """As `reduced`, with features that are known already."""
        source = source.unflatten(2, x.shape[2:])
        self.observer(source, x.shape[2:])
        return Reduced(features, source, valid)


class TopK(Reducer):
    """The K positions of largest score, in row-major order, so also in the order of time.

    In evaluation exactly these. How the choice is made differentiable in training is what the
    mechanisms of this kind differ in.

    Args:
        channels: C.
        tokens: K.
        hidden_channels: width of the scoring network, a `PositionScore`.
    """

    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = "one choice a token: 1 at the position that it took"

    def __init__(self, channels: int, *, tokens: int, hidden_channels: int) -> None:
        super().__init__(tokens)
        self.score = PositionScore(channels, hidden_channels=hidden_channels, gated=False)

    def choice(self, scores: Tensor, kept: Tensor | None, noise: Tensor | None) -> Tensor:
        """In training: scores and kept (N, L) -> source (N, K, L), 0 at padding."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        context: Any = None,
        noise: Tensor | None = None,
    ) -> Reduced:
        """(N, C, *positions) -> K tokens.

        Args:
            x, mask, context: see `Mechanism.forward`.
            noise: what training draws where it is not given; evaluation uses none.
        """
        self.check_rank(x)
        x = zero_padding(x, mask)
        scores, kept = self.score(x).flatten(1), flat_mask(x, mask)
        index = best_positions(scores, self.tokens, kept)
        valid = index < scores.shape[1]
        if not self.training:
            source = one_hot(index, scores.shape[1]).to(scores.dtype)
            return self.shown(x, gather_positions(x, index), source, valid)
        source = self.choice(scores, kept, noise).masked_fill(~valid.unsqueeze(2), 0)
        return self.reduced(x, source, valid)


def flat_mask(x: Tensor, mask: Tensor | None) -> Tensor | None:
    """A mask as in `Mechanism.forward` -> bool (N, L)."""
    return None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)


def best_positions(
    scores: Tensor, count: int, kept: Tensor | None, *, stable: bool = True
) -> Tensor:
    """(…, count): where the largest scores are, ascending; L where too few are real.

    Args:
        scores: (…, L), finite.
        count: how many; may exceed L.
        kept: bool, broadcastable to the scores; False is never chosen.
        stable: of equal scores the earlier wins. Where noise rules ties out, False is faster.
    """
    lowest = float("-inf")
    if kept is not None:
        scores = scores.masked_fill(~kept, lowest)
    # Positions that stand for "missing", so that L may be small, and no size is branched on.
    missing = scores.new_full((*scores.shape[:-1], count), lowest)
    extended = torch.cat([scores, missing], dim=-1)
    if stable:
        index = extended.argsort(dim=-1, descending=True, stable=True)[..., :count]
    else:
        index = extended.topk(count, dim=-1, sorted=False).indices
    chosen = extended.gather(-1, index) > lowest
    return index.where(chosen, scores.shape[-1]).sort(dim=-1).values


def one_hot(index: Tensor, length: int) -> Tensor:
    """(…, K) -> bool (…, K, length): True at the index; all False where it is `length`."""
    # `F.one_hot` would fix the length in an exported graph.
    return index.unsqueeze(-1) == torch.arange(length, device=index.device)


def gather_positions(x: Tensor, index: Tensor) -> Tensor:
    """(N, C, *positions), (N, K) -> (N, C, K); 0 where the index is the number of positions."""
    flat = x.flatten(2)
    index = index.unsqueeze(1)
    found = flat.gather(2, index.clamp(max=flat.shape[2] - 1).expand(-1, x.shape[1], -1))
    return found.masked_fill(index == flat.shape[2], 0)
