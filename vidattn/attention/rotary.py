"""Rotary positions in time, height and width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision
from vidattn.errors import ArgumentError

# Which of time, height and width each axis is, by number of position axes.
AXES = {1: (0,), 2: (1, 2), 3: (0, 1, 2)}


class RotaryPositions(nn.Module):
    """Turns queries and keys by angles that grow with their position, so that q·k sees offsets.

    A head's width is cut into three equal even parts, for time, height and width; what remains
    is not turned. In the part of an axis, of width D, the pair (2i, 2i + 1) is turned by the
    angle p · base^(-2i/D) at position p. Features without one of the axes are not turned in its
    part: a clip of one frame is an image.

    Source: Su et al., RoFormer, 2021; cut into three as in Assran et al., V-JEPA 2, 2025.

    Args:
        width: of one head; at least 6.
        base: the larger, the slower the slowest pair turns.
        compat: turn dimension j by base^(-2(j mod D/2)/D), as the published V-JEPA 2 weights
            need: there the two of a pair turn at different speeds, and q·k sees more than
            offsets.
    """

    def __init__(self, width: int, *, base: float = 10_000.0, compat: bool = False) -> None:
        super().__init__()
        if width < 6:
            raise ArgumentError(
                f"heads: rotary positions need heads of at least 6 channels, got {width}"
            )
        self.part = 2 * (width // 6)
        self.base = base
        self.compat = compat

    def forward(self, x: Tensor, grid: tuple[int, ...]) -> Tensor:
        """(N, heads, L, width), L being the product of the grid -> the same, turned."""
        unturned = x.shape[-1] - 3 * self.part
        time, height, width, rest = x.split((*[self.part] * 3, unturned), dim=-1)
        parts = [time, height, width]
        for axis, (which, size) in enumerate(zip(AXES[len(grid)], grid, strict=True)):
            positions = torch.arange(size, device=x.device)
            shape = [1] * len(grid)
            shape[axis] = size
            flat = positions.reshape(shape).expand(grid).flatten()
            parts[which] = self.turn(parts[which], flat)
        return torch.cat((*parts, rest), dim=-1)

    def turn(self, x: Tensor, positions: Tensor) -> Tensor:
        """Turn the pairs of (…, L, D) by the angles of positions (L,)."""
        exact = single_precision(x)
        dimension = torch.arange(self.part, device=x.device)
        pair = dimension % (self.part // 2) if self.compat else dimension // 2
        speed = self.base ** (-2 * pair.to(exact.dtype) / self.part)
        angle = positions.to(exact.dtype)[:, None] * speed
        first, second = exact.unflatten(-1, (-1, 2)).unbind(-1)
        quarter_turned = torch.stack((-second, first), dim=-1).flatten(-2)
        return (exact * angle.cos() + quarter_turned * angle.sin()).to(x.dtype)
