from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import CONVOLUTION
from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Reduced
from vidattn.attention.observe import MapKind
from vidattn.attention.token.selection import Reducer, flat_mask
from vidattn.attention.token.token_learner import any_real
from vidattn.errors import ArgumentError


class ConvolutionalTokenLearner(Reducer):
    """K learned tokens: each is the sum of all positions, gated by a map from four convolutions.

    A = σ(conv(GELU(conv(GELU(conv(GELU(conv(LayerNorm(x))))))))), each convolution 3 wide in every
    axis, from C to K and then from K to K channels, without biases; token_k = Σ_p A_kp x_p.

    (N, C, *positions) -> features (N, C, K), source (N, K, *positions), valid (N, K).

    Source: Ryoo et al., TokenLearner, NeurIPS 2021, in the form that the authors' code calls
    version 1; GELU is the tanh approximation, as there. The paper pools by the mean over positions,
    the code by the sum.

    Args:
        channels: C.
        tokens: K.
        spatial_dims: number of position axes: 1, 2 or 3.
        pooling: "sum", or "mean", which divides by the number of real positions.
    """

    source: ClassVar[str] = "Ryoo et al., TokenLearner, NeurIPS 2021, version 1 of the code"
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = "what each position was multiplied by in each token"

    def __init__(
        self,
        channels: int,
        *,
        tokens: int = 8,
        spatial_dims: int = 3,
        pooling: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__(tokens)
        if pooling not in ("sum", "mean"):
            raise ArgumentError(f"pooling: expected 'sum' or 'mean', got {pooling!r}")
        self.ranks = (spatial_dims,)
        self.pooling = pooling
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.convolutions = nn.ModuleList(
            CONVOLUTION[spatial_dims](width, tokens, 3, padding=1, bias=False)
            for width in (channels, tokens, tokens, tokens)
        )

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Reduced:
        """(N, C, *positions) -> K tokens."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        # Padding is 0 before every convolution, just as what lies outside the input.
        maps = zero_padding(self.norm(x.movedim(1, -1)).movedim(-1, 1), mask)
        for number, convolution in enumerate(self.convolutions):
            maps = zero_padding(
                convolution(F.gelu(maps, approximate="tanh") if number else maps), mask
            )
        weights = zero_padding(single_precision(maps).sigmoid(), mask).flatten(2)
        kept = flat_mask(x, mask)
        if self.pooling == "mean":
            count = weights.shape[2] if kept is None else kept.sum(1).clamp(min=1)[:, None, None]
            weights = weights / count
        return self.reduced(x, weights, any_real(x, kept, self.tokens))
