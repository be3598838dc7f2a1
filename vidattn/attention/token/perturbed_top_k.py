from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from vidattn.attention.masking import single_precision
from vidattn.attention.token.selection import TopK, best_positions
from vidattn.errors import ArgumentError

Gradient = Literal["full", "diagonal"]


class PerturbedTopK(TopK):
    """The K best positions, chosen in training under noise many times over and averaged.

    Training: source = mean over n of onehot(sort(top-K(s + σ Zₙ))), Z standard normal. The
    gradient is that of the expectation, E[onehot · Z] / σ. Evaluation: the top K of s.
    A training step holds n (K + L) numbers a sample, not n · K · L.

    (N, C, *positions) -> features (N, C, K), source (N, K, *positions), valid (N, K).

    Source: Cordonnier et al., Differentiable Patch Selection, CVPR 2021; Berthet et al., NeurIPS
    2020. Their scorer is a network of its own; ours is a `PositionScore`. The code in the first
    paper's supplement keeps the diagonal of that gradient, of each choice by the score of the
    position that was chosen, and drops what the other scores did to it (`gradient`).

    Args:
        channels: C.
        tokens: K.
        hidden_channels: width of the scoring network.
        samples: n.
        sigma: of the noise. An attribute, to be lowered while training; at 0 the choice is hard
            and the scores get no gradient.
        gradient: "full", or "diagonal" for that of the authors' code.
    """

    source: ClassVar[str] = "Cordonnier et al., Differentiable Patch Selection, CVPR 2021"

    def __init__(
        self,
        channels: int,
        *,
        tokens: int = 8,
        hidden_channels: int = 128,
        samples: int = 500,
        sigma: float = 0.05,
        gradient: Gradient = "full",
    ) -> None:
        super().__init__(channels, tokens=tokens, hidden_channels=hidden_channels)
        check_gradient(gradient)
        self.samples = samples
        self.sigma = sigma
        self.gradient: Gradient = gradient

    def choice(self, scores: Tensor, kept: Tensor | None, noise: Tensor | None) -> Tensor:
        """See `TopK.choice`; noise is (N, samples, L), standard normal."""
        if noise is None:
            noise = normal_noise(scores, self.samples)
        return perturbed_top_k(
            scores, self.tokens, kept, noise=noise, sigma=self.sigma, gradient=self.gradient
        )


def check_gradient(gradient: str) -> None:
    """Raise an ArgumentError unless it is the name of one."""
    if gradient not in get_args(Gradient):
        raise ArgumentError(f"gradient: expected 'full' or 'diagonal', got {gradient!r}")


def normal_noise(scores: Tensor, samples: int) -> Tensor:
    """(N, L) -> (N, samples, L), standard normal."""
    return torch.randn(
        scores.shape[0], samples, scores.shape[1], dtype=scores.dtype, device=scores.device
    )


def perturbed_top_k(
    scores: Tensor,
    count: int,
    kept: Tensor | None,
    *,
    noise: Tensor,
    sigma: float,
    gradient: Gradient = "full",
) -> Tensor:
    """(N, count, L): how often each position was the first, second, … of the chosen ones.

    Args:
        scores: (N, L).
        count: how many to choose.
        kept: bool (N, L); False is never chosen.
        noise: (N, samples, L), standard normal.
        sigma: by which the noise is multiplied; at 0 there is no gradient.
        gradient: see `PerturbedTopK`.

    Raises:
        ArgumentError: the noise has another shape.
    """
    batch, length = scores.shape
    if noise.ndim != 3 or (noise.shape[0], noise.shape[2]) != (batch, length):
        raise ArgumentError(
            f"noise: expected ({batch}, samples, {length}), got {tuple(noise.shape)}"
        )
    scores = single_precision(scores)
    perturbed = scores.detach().unsqueeze(1) + sigma * noise
    kept = None if kept is None else kept.unsqueeze(1)
    # (N, samples, count) -> (N, count, samples). Position L, "missing", is cut off at the end.
    index = best_positions(perturbed, count, kept, stable=sigma == 0).transpose(1, 2)
    empty = perturbed.new_zeros(batch, count, length + 1)
    rows = empty.scatter_add(2, index, torch.ones_like(index, dtype=empty.dtype))
    if sigma > 0:
        # Its value is 0, its gradient Z / σ for every choice: with sums, not one-hot tensors.
        if kept is not None:
            noise = noise.masked_fill(~kept, 0)
        pull = empty.scatter_add(2, index, _pull(scores, noise / sigma, index, gradient))
        rows = rows + (pull - pull.detach())
    return rows[..., :length] / noise.shape[1]


def _pull(scores: Tensor, noise: Tensor, index: Tensor, gradient: Gradient) -> Tensor:
    """What has the gradient of each choice: (N, count, samples), from index of that shape."""
    if gradient == "full":
        return (noise @ scores.unsqueeze(2)).transpose(1, 2).expand_as(index)
    # One more for position L, "missing", whose row is cut off.
    own = torch.nn.functional.pad(noise * scores.unsqueeze(1), (0, 1))
    return own.gather(2, index.transpose(1, 2)).transpose(1, 2)
