from __future__ import annotations

from collections.abc import Sequence
from math import pi, prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.cells import cell_means
from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError

# Pairs (down, across) on a 7 × 7 grid, best first: the authors' choice on ImageNet.
BEST_FREQUENCIES = (
    *((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)),
    *((5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2)),
    *((4, 6), (6, 3), (3, 3), (5, 3), (5, 5), (2, 1), (6, 1), (5, 2)),
    *((5, 4), (3, 2), (3, 1), (4, 1), (2, 3), (2, 0), (6, 5), (1, 3)),
)
BASE = 7


class FrequencyChannelAttention(Gate):
    """One weight per channel, from a cosine transform coefficient of each in place of its mean.

    With C in equal groups, and pair (u, v) for group i, sizes H × W of the grid:
    z = Σ x cos(π u (p + ½) / H) cos(π v (q + ½) / W) k_u k_v / √(H W), k₀ = 1, else √2;
    a = σ(W₂ ReLU(W₁ z)), without biases; y = x · a.
    Features of another size are averaged over the cells of the grid first. Clips: the mean over
    time of z, for the frequencies are of space, which is why there is no form for (T,) alone.

    Source: Qin, Zhang, Wu, Li, FcaNet, ICCV 2021; pairs and grid as in the authors' code. With
    padding z counts real positions as if they were all.

    Args:
        channels: C, a multiple of the number of pairs.
        frequencies: how many of the authors' best pairs, 1 to 32 (the paper's: 16), or pairs
            (u, v) of your own, from 0 to 6.
        grid: H × W, one size for both or two, at least 7; a pair is multiplied by ⌊H / 7⌋ and
            ⌊W / 7⌋. The authors take 56, 28, 14, 7: the sizes of a ResNet's stages at 224 pixels.
        reduction: the hidden layer has C / reduction units, rounded down, at least 1.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Qin, Zhang, Wu, Li, FcaNet, ICCV 2021"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    ranks: tuple[int, ...] = (2, 3)
    frequencies: Tensor

    def __init__(
        self,
        channels: int,
        *,
        frequencies: int | Sequence[tuple[int, int]] = 16,
        grid: int | tuple[int, int] = 7,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        pairs = _pairs(frequencies)
        if channels % len(pairs):
            raise ArgumentError(
                f"frequencies: expected a number that divides {channels} channels, got {len(pairs)}"
            )
        self.grid = (grid, grid) if isinstance(grid, int) else grid
        if len(self.grid) != 2 or min(self.grid) < BASE:
            raise ArgumentError(f"grid: expected one size or two, at least {BASE}, got {grid}")
        hidden = max(1, channels // reduction)
        self.register_buffer("frequencies", torch.tensor(pairs), persistent=False)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        with torch.autocast(x.device.type, enabled=False):
            coefficients = self._coefficients(_frame(single_precision(x), mask))
        hidden = F.relu(self.squeeze(coefficients.to(self.squeeze.weight.dtype)))
        return self.per_channel(self.excite(hidden).sigmoid(), x)

    def _coefficients(self, frame: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        down, across = (
            _cosines(self.frequencies[:, axis], self.grid[axis], frame)
            @ cell_means(frame.shape[2 + axis], self.grid[axis], frame)
            for axis in (0, 1)
        )
        basis = down[:, :, None] * across[:, None]  # (pairs, H, W)
        basis = basis.repeat_interleave(frame.shape[1] // len(basis), dim=0)
        return (frame * basis).sum((2, 3))


def _pairs(frequencies: int | Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    if isinstance(frequencies, int):
        if not 1 <= frequencies <= len(BEST_FREQUENCIES):
            raise ArgumentError(
                f"frequencies: expected 1 to {len(BEST_FREQUENCIES)} or pairs, got {frequencies}"
            )
        return BEST_FREQUENCIES[:frequencies]
    if not frequencies or any(not 0 <= one < BASE for pair in frequencies for one in pair):
        raise ArgumentError(f"frequencies: expected pairs from 0 to {BASE - 1}, got {frequencies}")
    return frequencies


def _cosines(frequencies: Tensor, size: int, like: Tensor) -> Tensor:
    """(pairs, size): each pair's cosine along one axis, of unit length."""
    position = torch.arange(size, device=like.device, dtype=like.dtype) + 0.5
    angle = frequencies[:, None].to(like.dtype) * (size // BASE) * position * (pi / size)
    squared_length = (frequencies.clamp(max=1) + 1)[:, None].to(like.dtype) / size
    return angle.cos() * squared_length.sqrt()


def _frame(x: Tensor, mask: Tensor | None) -> Tensor:
    """(N, C, H, W), or its mean over T, of x that is 0 at padding; real positions stand for all."""
    if mask is None:
        return x.mean(2) if x.ndim == 5 else x
    mask = mask.expand(x.shape[0], 1, *x.shape[2:])
    real = mask.sum(tuple(range(2, x.ndim)), keepdim=True).clamp(min=1)
    x = x * (prod(x.shape[2:]) / real.to(x.dtype))
    return x.mean(2) if x.ndim == 5 else x
