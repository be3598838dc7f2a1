from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import pool
from vidattn.errors import ArgumentError


class AttentiveTemporalPooling(Mechanism):
    """The mean of the frames, each weighted by how well the best frame of another clip matches it.

    A = tanh(xᵀ U g), T × T'; s[t] = max over t' of A[t, t']; weights softmax_T(s). g is the other
    clip, given as the context; without one it is x itself. For the other clip's own vector, call
    a second one whose U is the transposed.

    (N, C, T) -> features (N, C), weights (N, T), scores (N, T), the scores in (-1, 1).

    Source: Xu et al., ICCV 2017 (ASTPN), attentive temporal pooling. The form without
    another clip is ours; the equations are from a secondary description, which one public
    re-implementation agrees with.

    Args:
        channels: C.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Xu et al., ICCV 2017 (ASTPN), attentive temporal pooling"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "share of each frame in the pooled vector; sums to 1 over T"
    context_meaning: ClassVar[str | None] = (
        "(N, C, T') frames of the clip to compare with, without padding; None for x itself"
    )
    ranks: tuple[int, ...] = (1,)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.match = nn.Linear(channels, channels, bias=False)
        nn.init.uniform_(self.match.weight, -1 / channels, 1 / channels)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T) -> features (N, C), weights and scores (N, T)."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        other = x if context is None else context
        if not isinstance(other, Tensor) or other.ndim != 3 or other.shape[1] != x.shape[1]:
            got = tuple(other.shape) if isinstance(other, Tensor) else type(other).__name__
            raise ArgumentError(
                f"AttentiveTemporalPooling: expected context of shape (N, {x.shape[1]}, T'), "
                f"got {got}"
            )
        matches = self._matches(x, other)
        if mask is not None and context is None:
            matches = matches.masked_fill(~mask.expand(x.shape[0], 1, x.shape[2]), -1)
        pooled = pool(x, matches.amax(2), mask)
        self.observer(pooled.weights.unsqueeze(1), x.shape[2:])
        return pooled

    def _matches(self, x: Tensor, other: Tensor) -> Tensor:
        """(N, C, T), (N, C, T') -> (N, T, T') in (-1, 1), float32 at least."""
        read = self.match(other.transpose(1, 2))
        with torch.autocast(x.device.type, enabled=False):
            products = single_precision(x).transpose(1, 2) @ single_precision(read).transpose(1, 2)
            return products.tanh()
