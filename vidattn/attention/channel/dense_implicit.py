from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_mean, zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class CellState(NamedTuple):
    """What the cell hands from one block of a stage to the next, each (N, C)."""

    hidden: Tensor
    cell: Tensor


class DenseImplicitAttention(Gate):
    """One weight per channel, from a recurrent cell that all blocks of a stage share.

    With z = mean(x), and h, c from the block before, 0 at the first:
    i, f, g, o = A(z) + B(h), where A and B are two layers, C → C / reduction → ReLU → 4 C;
    c' = σ(f) c + σ(i) tanh(g), h' = σ(o) σ(c'), y = x · h'.

    Called as it is, it is the first block. `DenseImplicitStage` takes the state from block to
    block, as `step` does for networks of your own; nothing is kept between calls.

    Source: Huang, Liang, Liang, Yang, DIANet, AAAI 2020. σ(c'), not tanh(c').

    Args:
        channels: C.
        reduction: the hidden layers have C / reduction units, rounded down, at least 1.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Huang, Liang, Liang, Yang, DIANet, AAAI 2020"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        narrow = max(1, channels // reduction)
        self.from_input, self.from_hidden = (
            nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(), nn.Linear(narrow, 4 * channels))
            for _ in range(2)
        )

    def step(
        self, x: Tensor, state: CellState | None, *, mask: Tensor | None = None
    ) -> tuple[Tensor, CellState]:
        """(N, C, *positions) and the state of the block before -> y and the state after."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        state = self._next(masked_mean(x, mask), state)
        return self.multiplied(x, self.per_channel(state.hidden, x), mask), state

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape, as in the first block."""
        return self.step(x, None, mask=mask)[0]

    def _next(self, means: Tensor, state: CellState | None) -> CellState:
        hidden, cell = state or (torch.zeros_like(means), torch.zeros_like(means))
        gates = self.from_input(means) + self.from_hidden(hidden)
        enter, forget, new, leave = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return CellState(leave.sigmoid() * cell.sigmoid(), cell)


class DenseImplicitStage(nn.Module):
    """A stage of residual blocks, y = ReLU(block(x) · h + shortcut(x)), with one attention.

    Source: see `DenseImplicitAttention`.

    Args:
        attention: shared by all blocks.
        blocks: what each block adds, without its shortcut and last ReLU.
        shortcuts: one for each block; None for the identity everywhere.
    """

    def __init__(
        self,
        attention: DenseImplicitAttention,
        *,
        blocks: Sequence[nn.Module],
        shortcuts: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        shortcuts = [nn.Identity() for _ in blocks] if shortcuts is None else shortcuts
        if len(shortcuts) != len(blocks):
            raise ArgumentError(
                f"shortcuts: expected {len(blocks)}, one for each block, got {len(shortcuts)}"
            )
        self.attention = attention
        self.blocks = nn.ModuleList(blocks)
        self.shortcuts = nn.ModuleList(shortcuts)

    def forward(self, x: Tensor) -> Tensor:
        """Whatever the blocks map (N, C, *positions) to."""
        state: CellState | None = None
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            change, state = self.attention.step(block(x), state)
            x = F.relu(change + shortcut(x))
        return x
