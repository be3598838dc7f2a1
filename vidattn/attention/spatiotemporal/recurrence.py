"""Steps through time, for the mechanisms that remember."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step of a long short-term memory.

    c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c').

    Args:
        gates: (N, 4·C, …), before their nonlinearities, in the order i, f, g, o.
        cell: (N, C, …), c.

    Returns:
        h' and c'.
    """
    take, keep, new, show = gates.chunk(4, dim=1)
    cell = keep.sigmoid() * cell + take.sigmoid() * new.tanh()
    return show.sigmoid() * cell.tanh(), cell


def unless_padding(new: Tensor, old: Tensor, kept: Tensor | None) -> Tensor:
    """The new state where kept (N,) or its like is true, the old one elsewhere."""
    if kept is None:
        return new
    return torch.where(kept.reshape(-1, *[1] * (new.ndim - 1)), new, old)


class StateScore(nn.Module):
    """One number for each item, from the item and from what is remembered.

    e = u · tanh(V x + U h + b)

    Source: Bahdanau, Cho, Bengio, ICLR 2015, appendix A.1.2.

    Args:
        channels: of items and of states.
        hidden_channels: rows of V and U.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.item = nn.Linear(channels, hidden_channels)
        self.state = nn.Linear(channels, hidden_channels, bias=False)
        self.score = nn.Linear(hidden_channels, 1, bias=False)

    def forward(self, projected: Tensor, state: Tensor) -> Tensor:
        """Items (N, …, hidden), which `item` has projected, and states (N, C) -> (N, …)."""
        shape = (state.shape[0], *[1] * (projected.ndim - 2), -1)
        hidden = (projected + self.state(state).reshape(shape)).tanh()
        return single_precision(self.score(hidden).squeeze(-1))


def weighted_mean(items: Tensor, scores: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
    """Items (…, L, C), scores and kept (…, L) -> their mean (…, C) and its weights (…, L)."""
    weights = masked_softmax(scores, kept, dim=-1)
    return (weights.to(items.dtype).unsqueeze(-2) @ items).squeeze(-2), weights
