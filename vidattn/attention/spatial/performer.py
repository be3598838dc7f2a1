from __future__ import annotations

from math import log
from typing import ClassVar

import torch
from torch import Tensor

from vidattn.attention.masking import single_precision
from vidattn.attention.spatial.linear_attention import LinearAttention

FLOOR = 1e-4


class Performer(LinearAttention):
    """Every position reads from every other; random features stand for the softmax.

    y = x + W_o [φ(q) (φ(k)ᵀ v) / φ(q) Σ φ(k)] + b_o, with q, k, v linear in LayerNorm(x),
    φ(z) = m^-½ (exp(Ω z' − |z'|² / 2 − largest) + 10⁻⁴), z' = d^-¼ z. The m rows of Ω are
    orthogonal in blocks of d and as long as Gaussian vectors; E[φ(q) · φ(k)] ∝ exp(q · k / √d).
    The largest is that of Ω z' at each query, and over all positions for the keys. Ω is drawn
    once, by `redraw` again: the trainer decides when. The 10⁻⁴ draws all weights together, and
    the more the more features there are. Time and memory grow with L.

    Source: Choromanski et al., Performers, ICLR 2021, positive features, FAVOR+, with the
    stabilisers of the authors' code. The blocks of Ω are uniform among rotations; public code takes
    them as a QR decomposition leaves them, with signs that bias the expectation.

    Args:
        channels: C.
        heads: must divide C.
        features: m; None for d ln d, rounded down, at least 1.
        seed: of Ω.
    """

    source: ClassVar[str] = "Choromanski et al., Performers, ICLR 2021, FAVOR+"

    projection: Tensor

    def __init__(
        self, channels: int, *, heads: int = 8, features: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(channels, heads=heads)
        width = channels // heads
        count = max(1, int(width * log(width))) if features is None else features
        self.register_buffer("projection", torch.empty(count, width))
        self.redraw(seed)

    @torch.no_grad()
    def redraw(self, seed: int) -> None:
        """Draw Ω again."""
        generator = torch.Generator().manual_seed(seed)
        count, width = self.projection.shape
        blocks = [_rotation(width, generator) for _ in range(-(-count // width))]
        lengths = torch.randn(count, width, generator=generator).norm(dim=1, keepdim=True)
        self.projection.copy_(torch.cat(blocks)[:count] * lengths)

    def _features(self, query: Tensor, key: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.autocast(query.device.type, enabled=False):
            sides, halves = zip(*(self._projected(part) for part in (query, key)), strict=True)
            largest = sides[0].amax(3, keepdim=True)
            first = self._exponential(sides[0] - halves[0] - largest)
            if mask is None:
                return first, self._exponential(sides[1] - halves[1] - sides[1].amax((2, 3), True))
            padding = ~mask[:, None, :, None]
            lowest = torch.finfo(sides[1].dtype).min
            largest = sides[1].masked_fill(padding, lowest).amax((2, 3), keepdim=True)
            powers = (sides[1] - halves[1] - largest).masked_fill(padding, 0)
            return first, self._exponential(powers)

    def _projected(self, part: Tensor) -> tuple[Tensor, Tensor]:
        """Ω z' and |z'|² / 2."""
        part = single_precision(part) * part.shape[3] ** -0.25
        return part @ self.projection.to(part.dtype).T, part.square().sum(3, keepdim=True) / 2

    def _exponential(self, powers: Tensor) -> Tensor:
        # Without m^-½, which goes when weights are divided by their sum.
        return powers.exp() + FLOOR


def _rotation(size: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix, all equally likely: so without the signs that QR settles for."""
    rows, triangle = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return (rows * triangle.diagonal().sign()).T
