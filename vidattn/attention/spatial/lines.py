"""Looking along one axis: every line of positions by itself."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from vidattn.attention.observe import Observation, call_lifted

AXES = {2: "HW", 3: "THW"}
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


class AlongAxis(nn.Module):
    """Applies a 1-D module along one axis, to every line of positions by itself.

    (N, C, *positions) -> the same shape and memory format.

    Args:
        module: what to apply to (N · lines, C, positions in a line).
        axis: which position axis, from 0.
    """

    def __init__(self, module: nn.Module, *, axis: int) -> None:
        super().__init__()
        self.module = module
        self.axis = axis

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Apply the module; see `Mechanism.forward` for mask."""
        grid = x.shape[2:]
        lines = (x.shape[0], *(size for axis, size in enumerate(grid) if axis != self.axis))

        def lift(seen: Observation) -> Observation:
            return replace(seen, values=self._unfold(seen.values, lines), grid=tuple(grid))

        if mask is not None:
            mask = self._fold(mask.expand(x.shape[0], 1, *grid))
        out = call_lifted(lift, self.module, self._fold(x), mask=mask)
        out = self._unfold(out, lines)
        layout = LAYOUTS[x.ndim]
        last = x.is_contiguous(memory_format=layout) and not x.is_contiguous()
        return out.contiguous(memory_format=layout if last else torch.contiguous_format)

    def _fold(self, x: Tensor) -> Tensor:
        """(N, C, *positions) -> (N · lines, C, A), stored as sequences of features."""
        x = x.movedim(self.axis + 2, -1).movedim(1, -1)
        return x.flatten(0, -3).transpose(1, 2)

    def _unfold(self, x: Tensor, lines: tuple[int, ...]) -> Tensor:
        """(N · lines, M, A) -> (N, M, *positions)."""
        x = x.unflatten(0, lines).movedim(-2, 1)
        return x.movedim(-1, self.axis + 2)
