from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Mixer
from vidattn.attention.observe import MapKind
from vidattn.attention.token.token_learner import TokenLearner


class TokenFusion(Mixer):
    """Every position reads from K learned tokens of all positions, which first mix with each other.

    t = TokenLearner(x), K tokens; t′ = LayerNorm(W LayerNorm(t) + b), W mixing tokens;
    y = x + B t′ with B = σ(W₂ GELU(W₁ LayerNorm(x) + b₁) + b₂), K weights a position. W and b
    start at 0, so that a new one is the identity. Time and memory grow with L · K.

    Source: Ryoo et al., TokenLearner, NeurIPS 2021, with its TokenFuser, as in the authors' code;
    there transformer blocks lie between the two, here nothing.

    Args:
        channels: C.
        tokens: K.
        hidden_channels: rows of W₁, and of the learner's.
    """

    family: ClassVar[str] = "token"
    source: ClassVar[str] = "Ryoo et al., TokenLearner, NeurIPS 2021"
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = (
        "two maps: share of each position in each token, and what each position reads of each"
    )

    def __init__(self, channels: int, *, tokens: int = 8, hidden_channels: int = 64) -> None:
        super().__init__()
        self.learner = TokenLearner(channels, tokens=tokens, hidden_channels=hidden_channels)
        self.token_norm = nn.LayerNorm(channels, eps=1e-6)
        self.mix = nn.Linear(tokens, tokens)
        self.mixed_norm = nn.LayerNorm(channels, eps=1e-6)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.hidden = nn.Linear(channels, hidden_channels)
        self.score = nn.Linear(hidden_channels, tokens)
        self.starts_as_identity = True
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        x = tokens.transpose(1, 2).unflatten(2, grid)
        kept = None if mask is None else mask.unsqueeze(1).unflatten(2, grid)
        learned = self.learner(x, mask=kept).features
        mixed = self.mix(self.token_norm(learned.transpose(1, 2)).transpose(1, 2))
        mixed = self.mixed_norm(mixed.transpose(1, 2))
        hidden = F.gelu(self.hidden(self.norm(tokens)), approximate="tanh")
        read = single_precision(self.score(hidden)).sigmoid()
        read = zero_padding(read.transpose(1, 2), None if mask is None else mask.unsqueeze(1))
        self.observer(read.unflatten(2, grid), grid)
        return read.transpose(1, 2).to(mixed.dtype) @ mixed
