from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Gate
from vidattn.attention.pooling import PositionScore


class MeanFieldAttention(Gate):
    """One weight per position, smoothed so that near and similar positions agree.

    Each position is attended to or not. Learned scores are its unary potentials u = (0, s), and
    every pair of positions a pairwise one; q is what five steps of mean field make of them:
        q = softmax(u);  m(l) = w₁(l) G₁ q(l) + w₂(l) G₂ q(l);  q ← softmax(u − μ m),
    with G₁ a Gaussian of distance (deviation γ), G₂ one of distance and of the difference of a
    learned guide (α, β); both without a position itself, rows summing to 1. y = x · q(attended).
    Distances count positions, of time as of space. Time and memory grow with L².

    Source: Zheng et al., CRF-RNN, ICCV 2015, the mean-field iteration, whose filters are normalised
    too. There images guide, of 500 pixels: α = 160, β = 3, γ = 3; here features of few positions.
    Signs are the paper's: μ is a penalty, 0 for equal labels and 1 for different ones at the start.
    (Popular code adds m itself: the same as long as w₁ and w₂ are equal for both labels.)

    Args:
        channels: C.
        hidden_channels: width of the scoring network, a `PositionScore`.
        guide_channels: of the guide, linear in x.
        iterations: steps of mean field.
        alpha, beta, gamma: deviations, see above.
    """

    family: ClassVar[str] = "structured"
    source: ClassVar[str] = "Zheng et al., CRF-RNN, ICCV 2015, the mean-field iteration"
    map_meaning: ClassVar[str] = "probability that each position is attended to, in (0, 1)"

    def __init__(
        self,
        channels: int,
        *,
        hidden_channels: int = 128,
        guide_channels: int = 8,
        iterations: int = 5,
        alpha: float = 8.0,
        beta: float = 1.0,
        gamma: float = 1.0,
    ) -> None:
        super().__init__()
        self.score = PositionScore(channels, hidden_channels=hidden_channels, gated=False)
        self.guide = nn.Linear(channels, guide_channels, bias=False)
        self.near_weight = nn.Parameter(torch.full((2,), 3.0))
        self.similar_weight = nn.Parameter(torch.full((2,), 5.0))
        self.penalty = nn.Parameter(1 - torch.eye(2))
        self.iterations = iterations
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, 1, *positions)."""
        score = self.score(x).flatten(1)
        guide = single_precision(self.guide(x.flatten(2).transpose(1, 2)))
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        with torch.autocast(x.device.type, enabled=False):
            distances = _squared_distances(_coordinates(x.shape[2:], guide)).unsqueeze(0)
            near = _filter(distances / (2 * self.gamma**2), kept)
            different = _squared_distances(guide) / (2 * self.beta**2)
            similar = _filter(distances / (2 * self.alpha**2) + different, kept)
            unary = torch.stack([torch.zeros_like(score), score], dim=2)
            attended = self._mean_field(unary, near, similar)
        return attended.reshape(x.shape[0], 1, *x.shape[2:]).to(x.dtype)

    def _mean_field(self, unary: Tensor, near: Tensor, similar: Tensor) -> Tensor:
        """Potentials (N, L, 2) and filters (N or 1, L, L) -> q(attended), (N, L)."""
        penalty = single_precision(self.penalty)
        believed = unary.softmax(2)
        for _ in range(self.iterations):
            message = near @ believed * self.near_weight + similar @ believed * self.similar_weight
            believed = (unary - message @ penalty.T).softmax(2)
        return believed[:, :, 1]


def _coordinates(grid: Sequence[int], like: Tensor) -> Tensor:
    """(L, axes): where each position is."""
    axes = [torch.arange(size, dtype=like.dtype, device=like.device) for size in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)


def _squared_distances(points: Tensor) -> Tensor:
    """(…, L, D) -> (…, L, L), without a tensor of L · L · D."""
    squares = points.square().sum(-1, keepdim=True)
    products = points @ points.transpose(-1, -2)
    return (squares + squares.transpose(-1, -2) - 2 * products).clamp(min=0)


def _filter(exponents: Tensor, kept: Tensor | None) -> Tensor:
    """exp(−e) off the diagonal and at real positions; rows sum to 1, or are 0."""
    left_out = torch.eye(exponents.shape[1], dtype=torch.bool, device=exponents.device)
    if kept is not None:
        left_out = left_out | ~kept.unsqueeze(1)
    # The softmax of −e: no row can underflow, however far its neighbours are.
    lowest = torch.finfo(exponents.dtype).min
    return (-exponents).masked_fill(left_out, lowest).softmax(2).masked_fill(left_out, 0)
