from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class SinkhornAttention(Mixer):
    """Every position reads from every other, and every position is read equally much.

    y = x + W_o [P v] + b_o, with q, k, v linear in LayerNorm(x) and P = exp(q kᵀ / (τ √d)) brought
    near to a matrix whose rows and columns sum to 1 (doubly stochastic): rows and columns are
    normalised in turn, rows first and last, in logarithms. With one iteration it is
    `self_attention`. Time and memory grow with L² (P is held).

    Source: Sander, Ablin, Blondel, Peyré, Sinkformers, AISTATS 2022; the normalisation is that of
    Mena et al., ICLR 2018. The gradient goes through all of it, as in the authors' code for
    images; that for texts holds what columns were divided by as if constant
    (`constant_columns`). They count rows and columns: their 2 n - 1 iterations are n here.

    Args:
        channels: C.
        heads: must divide C.
        iterations: how often rows are normalised; columns are in between.
        temperature: τ.
        constant_columns: see above; the results are the same, gradients are not.
    """

    family: ClassVar[str] = "structured"
    source: ClassVar[str] = "Sander, Ablin, Blondel, Peyré, Sinkformers, AISTATS 2022"
    map_meaning: ClassVar[str] = (
        "attention each position received, mean over queries: near 1 / L, the more iterations "
        "the nearer; whole affinities show who reads what"
    )

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        iterations: int = 3,
        temperature: float = 1.0,
        constant_columns: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if iterations < 1:
            raise ArgumentError(f"iterations: expected at least 1, got {iterations}")
        self.heads = heads
        self.iterations = iterations
        self.constant_columns = constant_columns
        self.scale = (channels // heads) ** -0.5 / temperature
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        projected = self.query_key_value(self.norm(tokens))
        # (N, L, 3·C) -> three of (N, heads, L, d)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        with torch.autocast(tokens.device.type, enabled=False):
            scores = single_precision(query * self.scale) @ single_precision(key).transpose(2, 3)
            affinity = sinkhorn(
                scores,
                mask,
                iterations=self.iterations,
                constant_columns=self.constant_columns,
            )
        if self.observer.recording:
            count = affinity.shape[2] if mask is None else mask.sum(1).clamp(min=1)[:, None, None]
            received = affinity.detach().sum(2) / count
            whole = affinity.detach() if self.observer.wants_affinity else None
            self.observer(received.unflatten(2, grid), grid, affinity=whole)
        mixed = affinity.to(value.dtype) @ value
        return self.output(mixed.transpose(1, 2).flatten(2))


def sinkhorn(
    scores: Tensor, mask: Tensor | None, *, iterations: int, constant_columns: bool = False
) -> Tensor:
    """exp(scores), rows and columns normalised in turn: (N, heads, L, L), rows summing to 1.

    Args:
        scores: (N, heads, L, L), query by key.
        mask: bool (N, L); rows and columns of False are 0.
        iterations: how often rows are normalised.
        constant_columns: no gradient goes through what columns are divided by.
    """
    left_out = None if mask is None else ~(mask[:, None, :, None] & mask[:, None, None])
    balanced = scores.detach() if constant_columns else scores
    for _ in range(iterations - 1):
        balanced = _without(balanced, left_out).log_softmax(3)
        balanced = _without(balanced, left_out).log_softmax(2)
    if constant_columns:
        # Its value is that of the scores moved, its gradient theirs: rows are normalised below.
        balanced = scores + (balanced - scores.detach())
    affinity = _without(balanced, left_out).softmax(3)
    return affinity if left_out is None else affinity.masked_fill(left_out, 0)


def _without(scores: Tensor, left_out: Tensor | None) -> Tensor:
    """The lowest number in place of what is left out."""
    if left_out is None:
        return scores
    return scores.masked_fill(left_out, torch.finfo(scores.dtype).min)
