from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_softmax, zero_padding
from vidattn.attention.mechanism import Reduced
from vidattn.attention.observe import MapKind
from vidattn.attention.token.selection import Reducer, flat_mask


class TokenLearner(Reducer):
    """K learned tokens: each is the mean of all positions, weighted by its own softmax.

    A = softmax over positions of W₂ GELU(W₁ LayerNorm(x) + b₁) + b₂; token_k = Σ_p A_kp x_p.
    It differs from attention pooling in that the K rows share one hidden layer. The weights see
    no neighbourhood, so it is the same for 1-D, 2-D and 3-D; x is mixed as it is, unnormalised.

    (N, C, *positions) -> features (N, C, K), source (N, K, *positions), valid (N, K).

    Source: Ryoo et al., TokenLearner, NeurIPS 2021, in the form that the authors' code calls
    version 1.1; GELU is the tanh approximation, as there.

    Args:
        channels: C.
        tokens: K.
        hidden_channels: rows of W₁.
    """

    source: ClassVar[str] = "Ryoo et al., TokenLearner, NeurIPS 2021, version 1.1 of the code"
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = "share of each position in each token; a token's shares sum to 1"

    def __init__(self, channels: int, *, tokens: int = 8, hidden_channels: int = 64) -> None:
        super().__init__(tokens)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.hidden = nn.Linear(channels, hidden_channels)
        self.score = nn.Linear(hidden_channels, tokens)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Reduced:
        """(N, C, *positions) -> K tokens."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = flat_mask(x, mask)
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        scores = self.score(F.gelu(self.hidden(tokens), approximate="tanh")).transpose(1, 2)
        weights = masked_softmax(scores, None if kept is None else kept.unsqueeze(1), dim=2)
        return self.reduced(x, weights, any_real(x, kept, self.tokens))


def any_real(x: Tensor, kept: Tensor | None, tokens: int) -> Tensor:
    """bool (N, K): whether the sample has any real position, of which learned tokens are made."""
    if kept is None:
        return x.new_ones(x.shape[0], tokens).bool()
    return kept.any(1, keepdim=True).expand(-1, tokens).clone()
