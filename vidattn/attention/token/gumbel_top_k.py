from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from vidattn.attention.masking import masked_softmax
from vidattn.attention.token.selection import TopK, best_positions, one_hot
from vidattn.errors import ArgumentError


class GumbelTopK(TopK):
    """The K best positions; in training K positions drawn without replacement, by their scores.

    Training: the top K of s + g, with g standard Gumbel noise, is a draw without replacement from
    softmax(s). Its gradient is that of the relaxed draw: p¹ = softmax((s + g) / τ), then each
    next one after adding log(1 − pʲ). Evaluation: the top K of s.

    (N, C, *positions) -> features (N, C, K), source (N, K, *positions), valid (N, K).

    Source: Kool, van Hoof, Welling, Stochastic Beams, ICML 2019 (the draw); Xie, Ermon, IJCAI 2019
    (its relaxation). The scores, given there, come from a `PositionScore`.

    Args:
        channels: C.
        tokens: K.
        hidden_channels: width of the scoring network.
        temperature: τ.
        hard: training too takes whole positions, with the relaxed gradient (straight-through);
            False mixes them by the relaxed draw itself.
    """

    source: ClassVar[str] = (
        "Kool, van Hoof, Welling, Stochastic Beams, ICML 2019; Xie, Ermon, IJCAI 2019"
    )

    def __init__(
        self,
        channels: int,
        *,
        tokens: int = 8,
        hidden_channels: int = 128,
        temperature: float = 1.0,
        hard: bool = True,
    ) -> None:
        super().__init__(channels, tokens=tokens, hidden_channels=hidden_channels)
        if temperature <= 0:
            raise ArgumentError(f"temperature: expected above 0, got {temperature}")
        self.temperature = temperature
        self.hard = hard

    def choice(self, scores: Tensor, kept: Tensor | None, noise: Tensor | None) -> Tensor:
        """See `TopK.choice`; noise is (N, L), standard Gumbel. Rows in row-major order."""
        if noise is None:
            noise = gumbel_noise(scores)
        elif noise.shape != scores.shape:
            raise ArgumentError(f"noise: expected {tuple(scores.shape)}, got {tuple(noise.shape)}")
        perturbed = scores + noise
        soft = relaxed_top_k(perturbed, self.tokens, kept, temperature=self.temperature)
        index = best_positions(perturbed, self.tokens, kept)
        soft = soft.gather(1, draw_order(perturbed, index).expand_as(soft))
        if not self.hard:
            return soft
        hard = one_hot(index, scores.shape[1]).to(soft.dtype)
        return hard + (soft - soft.detach())


def gumbel_noise(like: Tensor) -> Tensor:
    """Standard Gumbel noise of the same shape: −log of an exponential variable."""
    return -torch.empty_like(like).exponential_().log()


def draw_order(perturbed: Tensor, index: Tensor) -> Tensor:
    """(N, K, 1): as the how-manyth each position of `index` (N, K) was drawn, from 0."""
    lowest = perturbed.new_full((perturbed.shape[0], 1), float("-inf"))
    drawn = torch.cat([perturbed, lowest], dim=1).gather(1, index)
    ranked = drawn.argsort(dim=1, descending=True)
    return ranked.argsort(dim=1).unsqueeze(2)


def relaxed_top_k(scores: Tensor, count: int, kept: Tensor | None, *, temperature: float) -> Tensor:
    """(N, count, L): softmaxes of which each leaves out what the ones before it took.

    Args:
        scores: (N, L), with noise or without.
        count: how many.
        kept: bool (N, L); False gets 0.
        temperature: of the softmaxes.
    """
    rows = []
    for _ in range(count):
        row = masked_softmax(scores / temperature, kept, dim=1)
        # A position that is taken wholly: the logarithm stays finite.
        scores = scores + (1 - row).clamp(min=torch.finfo(row.dtype).tiny).log()
        rows.append(row)
    return torch.stack(rows, dim=1)
