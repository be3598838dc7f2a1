from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.attention.spatial.linear import associate, normalised
from vidattn.errors import ArgumentError


class LinearAttention(Mixer):
    """Every position reads from every other, at a cost that grows with L: no softmax.

    y = x + W_o [φ(q) (φ(k)ᵀ v) / φ(q) Σ φ(k)] + b_o, with q, k, v linear in LayerNorm(x) and
    φ(z) = elu(z) + 1.

    Source: Katharopoulos et al., Transformers are RNNs, ICML 2020.

    Args:
        channels: C.
        heads: must divide C.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Katharopoulos et al., Transformers are RNNs, ICML 2020"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(self, channels: int, *, heads: int = 8) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        projected = self.query_key_value(self.norm(tokens))
        # (N, L, 3·C) -> three of (N, heads, L, d)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = self._features(query, key, mask)
        if mask is not None:
            query, key = (part.masked_fill(~mask[:, None, :, None], 0) for part in (query, key))
        query = normalised(query, key)
        mixed = associate(query, key, value, grid, self.observer).to(value.dtype)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _features(self, query: Tensor, key: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Non-negative (N, heads, L, features), what they hold at padding does not matter."""
        return F.elu(single_precision(query)) + 1, F.elu(single_precision(key)) + 1
