from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision, zero_padding
from vidattn.attention.mechanism import Reduced
from vidattn.attention.observe import MapKind
from vidattn.attention.token.selection import Reducer, best_positions, flat_mask, one_hot
from vidattn.errors import ArgumentError


class TokenReorganisation(Reducer):
    """The K positions that a class token attends to most, and the rest fused into one more token.

    a = mean over heads of softmax(q_c [k_c, k]ᵀ / √d), without the class token's own share, where
    q and k are linear in LayerNorm; the K largest stay as they are, in their order, and the
    fused token is Σ a_p x_p over the others: a sum, which the authors do not renormalise. The
    choice itself has no gradient; the fused token's weights have.

    (N, C, *positions) -> K + 1 tokens, the fused one last.

    Source: Liang et al., EViT, ICLR 2022. There K = ⌈rate · L⌉; a number is the same for padded and
    unpadded inputs. The class token is the context, or else a learned one.

    Args:
        channels: C.
        tokens: K.
        heads: must divide C.
        fuse: False drops the rest, and leaves q and k without a gradient.
    """

    source: ClassVar[str] = "Liang et al., EViT, ICLR 2022"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = "1 at each kept position; for the fused token, its weights"
    context_meaning: ClassVar[str | None] = "class token (N, C); a learned one without it"

    def __init__(
        self, channels: int, *, tokens: int = 8, heads: int = 8, fuse: bool = True
    ) -> None:
        super().__init__(tokens)
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.fuse = fuse
        self.class_token = nn.Parameter(torch.zeros(channels))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Reduced:
        """(N, C, *positions) -> K tokens and the fused one."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = flat_mask(x, mask)
        attention = self.attention(x, kept, context)
        index = best_positions(attention, self.tokens, kept)
        valid = index < attention.shape[1]
        source = one_hot(index, attention.shape[1]).to(attention.dtype)
        if self.fuse:
            rest = source.sum(1) == 0
            rest = rest if kept is None else rest & kept
            source = torch.cat([source, (attention * rest).unsqueeze(1)], dim=1)
            valid = torch.cat([valid, rest.any(1, keepdim=True)], dim=1)
        return self.reduced(x, source, valid)

    def attention(self, x: Tensor, kept: Tensor | None, context: Tensor | None) -> Tensor:
        """(N, L): what the class token attends to, 0 at padding."""
        token = self.class_token.expand(x.shape[0], -1) if context is None else context
        tokens = torch.cat([token.unsqueeze(1), x.flatten(2).transpose(1, 2)], dim=1)
        tokens = self.norm(tokens)
        query = self.query(tokens[:, :1]) * (x.shape[1] // self.heads) ** -0.5
        query, key = (
            single_precision(part.unflatten(2, (self.heads, -1)).transpose(1, 2))
            for part in (query, self.key(tokens))
        )
        if kept is not None:
            own = kept.new_ones(kept.shape[0], 1)
            kept = torch.cat([own, kept], dim=1)[:, None]
        with torch.autocast(x.device.type, enabled=False):
            scores = (query @ key.transpose(2, 3)).squeeze(2)
        return masked_softmax(scores, kept, dim=2)[:, :, 1:].mean(1)
