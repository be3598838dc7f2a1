from __future__ import annotations

from torch import Tensor, nn

from vidattn.attention.affinity import mix
from vidattn.errors import ArgumentError


class EncoderBlock(nn.Module):
    """A layer of a transformer: y = x + MHSA(LN x), then y + MLP(LN y).

    Source: Dosovitskiy et al., ViT, ICLR 2021.

    Args:
        channels: C.
        heads: must divide C.
        hidden_channels: of the MLP.
    """

    def __init__(self, channels: int, *, heads: int, hidden_channels: int) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.feed_forward = FeedForward(channels, hidden_channels)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mix the tokens.

        Args:
            tokens: (N, L, C).
            mask: bool (N, L); False tokens are not read from.

        Returns:
            the new tokens, and the logits with which the first one read, (N, heads, L).
        """
        projected = self.query_key_value(self.norm(tokens))
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = query * self.scale
        mixed = mix(query, key, value, mask)
        tokens = tokens + self.output(mixed.transpose(1, 2).flatten(2))
        first = (query[:, :, :1] @ key.transpose(2, 3)).squeeze(2)
        return tokens + self.feed_forward(tokens), first


class FeedForward(nn.Module):
    """W₂ GELU(W₁ LN(x)), at each token by itself.

    Args:
        channels: C.
        hidden_channels: rows of W₁.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, hidden_channels)
        self.narrow = nn.Linear(hidden_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) -> the same shape."""
        return self.narrow(nn.functional.gelu(self.widen(self.norm(x))))
