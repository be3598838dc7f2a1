from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import pool
from vidattn.errors import ArgumentError


class GlobalContext(Mechanism):
    """One weighted mean of all positions, through a narrow network, changes every position alike.

    a = softmax_j(w · x_j), c = Σ_j a_j x_j, δ = W₂ ReLU(LN(W₁ c + b₁)) + b₂;
    y = x + δ ("add") or x · σ(δ) ("scale"). It is a non-local block whose attention is the same
    for every query. W₂ and b₂ start at 0, so that a new one that adds is the identity; one that
    scales halves x. w has no bias, which a softmax could not see.

    Source: Cao et al., GCNet, ICCV Workshops 2019; scaling as in the authors' code.

    Args:
        channels: C.
        reduction: the hidden layer has C / reduction units, rounded down, at least 4, or C where
            that is less: LN leaves nothing of one unit and of two no more than a sign. The paper's
            is 16, its segmentation settings have 4.
        fusion: "add" or "scale".
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Cao et al., GCNet, ICCV Workshops 2019"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "share of each position in the context; sums to 1"

    def __init__(
        self, channels: int, *, reduction: int = 16, fusion: Literal["add", "scale"] = "add"
    ) -> None:
        super().__init__()
        if fusion not in ("add", "scale"):
            raise ArgumentError(f"fusion: expected 'add' or 'scale', got {fusion!r}")
        hidden = max(1, channels // reduction, min(4, channels))
        self.fusion: Literal["add", "scale"] = fusion
        self.score = nn.Linear(channels, 1, bias=False)
        self.squeeze = nn.Linear(channels, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.excite = nn.Linear(hidden, channels)
        self.observer = Observer(self.map_kind)
        self.starts_as_identity = fusion == "add"
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        real = zero_padding(x, mask)
        # One row times (C, L) reads x where it lies, in either memory format.
        scores = (self.score.weight @ real.flatten(2)).unflatten(2, x.shape[2:]).squeeze(1)
        pooled = pool(real, single_precision(scores), mask)
        self.observer(pooled.weights.unsqueeze(1), x.shape[2:])
        change = self.excite(F.relu(self.norm(self.squeeze(pooled.features))))
        change = change.reshape(*change.shape, *[1] * (x.ndim - 2))
        # x comes first in both: the result is laid out like it, which masking would not do.
        if self.fusion == "add":
            return x + (change if mask is None else zero_padding(change.expand_as(x), mask))
        scale = change.sigmoid()
        return x * (scale if mask is None else scale.expand_as(x).masked_fill(~mask, 1))
