from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_mean, single_precision
from vidattn.attention.mechanism import Gate
from vidattn.attention.pooling import PositionScore
from vidattn.attention.views import fold_frames, fold_mask, unfold_frames


class LinearChainAttention(Gate):
    """One weight per frame: the probability that it is attended to, given what its neighbours are.

    z_t ∈ {0, 1} says whether frame t is attended to, p(z) ∝ exp Σ_t [s_t z_t + A(z_t, z_t+1)], with
    learned scores s of the frames and learned A; y_t = x_t · p(z_t = 1). Weights come in stretches
    where A favours equal neighbours; they lie in (0, 1) and do not sum to 1. Marginals are exact,
    by the forward-backward algorithm in logarithms, in T steps. Of a clip, frames are judged by
    their means over H, W. A chain has one axis, so there is no form for images.

    Source: Kim, Denton, Hoang, Rush, Structured Attention Networks, ICLR 2017, segmentation
    attention. Their context vector is the sum of y over time.

    Args:
        channels: C.
        hidden_channels: width of the scoring network, a `PositionScore`.
    """

    family: ClassVar[str] = "structured"
    source: ClassVar[str] = "Kim, Denton, Hoang, Rush, Structured Attention Networks, ICLR 2017"
    map_meaning: ClassVar[str] = "probability that each frame is attended to, in (0, 1)"
    sequential: ClassVar[bool] = True

    ranks: tuple[int, ...] = (1, 3)

    def __init__(self, channels: int, *, hidden_channels: int = 128) -> None:
        super().__init__()
        self.score = PositionScore(channels, hidden_channels=hidden_channels, gated=False)
        # Neighbours are alike: what the paper's segments ask for.
        self.transition = nn.Parameter(torch.eye(2))

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, 1, T) or (N, 1, T, 1, 1)."""
        frames, kept = frame_means(x, mask)
        score = self.score(frames)
        unary = torch.stack([torch.zeros_like(score), score], dim=2)
        attended = chain_marginals(unary, self.transition, kept)[:, :, 1]
        return attended.reshape(x.shape[0], 1, -1, *[1] * (x.ndim - 3)).to(x.dtype)


def frame_means(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """x, 0 at padding -> the means of its frames, (N, C, T), and which are real, (N, T)."""
    batch, frames = x.shape[0], x.shape[2]
    if x.ndim == 3:
        kept = None if mask is None else mask.expand(batch, 1, frames).squeeze(1)
        return x, kept
    if mask is None:
        return unfold_frames(masked_mean(fold_frames(x), None), frames), None
    folded = fold_mask(mask, batch, frames)
    means = unfold_frames(masked_mean(fold_frames(x), folded), frames)
    return means, folded.flatten(1).any(1).unflatten(0, (batch, frames))


def chain_marginals(unary: Tensor, transition: Tensor, kept: Tensor | None = None) -> Tensor:
    """(N, T, K): p(z_t = k) of a chain with p(z) ∝ exp Σ_t [unary(t, z_t) + A(z_t, z_t+1)].

    Args:
        unary: (N, T, K).
        transition: A, (K, K): from state, to state.
        kept: bool (N, T); the chain leaps over False, whose own marginals mean nothing.
    """
    unary, transition = single_precision(unary), single_precision(transition)
    ahead = _messages(unary, transition, kept)
    reverse = None if kept is None else kept.flip(1)
    back = _messages(unary.flip(1), transition.T, reverse).flip(1)
    # Both ends' messages include what is known of t itself: once too often.
    return (ahead + back - unary).softmax(2)


def _messages(unary: Tensor, transition: Tensor, kept: Tensor | None) -> Tensor:
    """(N, T, K): log p(z_t, all up to t), each normalised: sums over T stay small."""
    message = torch.zeros_like(unary[:, 0])
    seen = torch.zeros_like(unary[:, 0, :1], dtype=torch.bool)
    steps = []
    for step in range(unary.shape[1]):
        passed = (message.unsqueeze(2) + transition).logsumexp(1)
        if kept is None:
            added = passed if step else message
            message = (unary[:, step] + added).log_softmax(1)
        else:
            here = kept[:, step].unsqueeze(1)
            new = (unary[:, step] + passed.masked_fill(~seen, 0)).log_softmax(1)
            message = torch.where(here, new, message)
            seen = seen | here
        steps.append(message)
    return torch.stack(steps, dim=1)
