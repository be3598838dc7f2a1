from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.attention.observe import MapKind
from vidattn.attention.token.binary_choice import binary_choice


class AdaptiveToken(Gate):
    """Keeps or drops each position as a whole, as many of them as the input needs.

    Training: w is 1 or 0, drawn with the gradient of σ((s + g₁ − g₂) / τ), s = v · x + b and g
    Gumbel noise. Evaluation: w = 1 where s > 0. y = x · w; `keep_rate_loss` of w holds the rate.

    Source: Meng et al., AdaViT, CVPR 2022, the policy for patches. Theirs for heads and for blocks
    belong to the transformer; a dropped position there still attends to itself.

    Args:
        channels: C.
        temperature: τ.
    """

    family: ClassVar[str] = "token"
    source: ClassVar[str] = "Meng et al., AdaViT, CVPR 2022"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = "1 at the positions that were kept"

    def __init__(self, channels: int, *, temperature: float = 5.0) -> None:
        super().__init__()
        self.score = nn.Linear(channels, 1)
        self.temperature = temperature

    def _choice(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """What x is multiplied by, (N, 1, *positions)."""
        score = single_precision(self.score(x.movedim(1, -1))).movedim(-1, 1)
        if not self.training:
            return (score > 0).to(x.dtype)
        return binary_choice(score, noise, temperature=self.temperature).to(x.dtype)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        context: Any = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """(N, C, *positions) -> the same shape.

        Args:
            x, mask, context: see `Mechanism.forward`.
            noise: for training, standard Gumbel (N, 1, *positions, 2): of keeping and of dropping.
        """
        self.check_rank(x)
        x = zero_padding(x, mask)
        return self.multiplied(x, self._choice(x, noise), mask)
