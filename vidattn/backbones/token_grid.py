from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class TokenGrid(nn.Module):
    """Tokens of a transformer as features on their grid: where a mechanism is inserted."""

    def forward(self, tokens: Tensor, sizes: Sequence[int]) -> Tensor:
        """Tokens (N, T'·H'·W', C) in that order, and (T', H', W') -> (N, C, T', H', W')."""
        return tokens.transpose(1, 2).unflatten(2, tuple(sizes))


class ChannelsFirst(nn.Module):
    """(N, T', H', W', C) -> (N, C, T', H', W'): where a mechanism is inserted."""

    def forward(self, x: Tensor) -> Tensor:
        """A view."""
        return x.movedim(-1, 1)


def to_tokens(grid: Tensor) -> Tensor:
    """(N, C, T', H', W') -> (N, T'·H'·W', C)."""
    return grid.flatten(2).transpose(1, 2)
