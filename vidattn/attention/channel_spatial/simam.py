from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vidattn.attention.channel_spatial.deviations import deviations
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class SimpleAttention(Gate):
    """The more a feature differs from the rest of its channel, the larger its weight.

    d = (x - μ)², v = Σ d / (V - 1) over the V real positions of a channel;
    a = σ(d / (4 (v + λ)) + ½), y = x · a. It has no parameters. Of a single position v is 0.

    Source: Yang et al., SimAM, ICML 2021, with the sample variance of the authors' code, where the
    text divides by V.

    Args:
        channels: C; the formula does not need it.
        regulariser: λ.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Yang et al., SimAM, ICML 2021"
    map_meaning: ClassVar[str] = "what each feature was multiplied by, in (0.62, 1)"

    def __init__(self, channels: int, *, regulariser: float = 1e-4) -> None:
        super().__init__()
        if regulariser <= 0:
            raise ArgumentError(f"regulariser: expected a positive number, got {regulariser}")
        self.regulariser = regulariser

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        deviation, count = deviations(x, mask)
        squares = deviation.square()
        freedom = (count - 1).clamp(min=1) if isinstance(count, Tensor) else max(count - 1, 1)
        variance = squares.sum(tuple(range(2, x.ndim)), keepdim=True) / freedom
        scale = 0.25 / (variance + self.regulariser)
        return (squares * scale + 0.5).sigmoid().to(x.dtype)
