from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import pool
from vidattn.errors import ArgumentError


class ConvolutionalTemporalPooling(Mechanism):
    """The mean of the frames, weighted by scores that see each frame together with its neighbours.

    s = K ∗ ReLU(W x + b) + b', K three frames wide; weights softmax_T(s), or σ(s) / Σ_T σ(s).

    (N, C, T) -> features (N, C), weights (N, T), scores (N, T): s, or log σ(s), whose softmax the
    weights are. Features that still have height and width are pooled over space first; the
    authors read them with a convolution as large as the frame, which fixes the input size.

    Source: Gao, Nevatia, "Revisiting Temporal Modeling for Video-based Person ReID", 2018,
    temporal attention. Their code passes s through a ReLU before the softmax, so that all
    frames below 0 get the same weight and no gradient; `compat` repeats it.

    Args:
        channels: C.
        hidden_channels: rows of W.
        kernel: odd number of frames that K sees.
        normaliser: "softmax" or "sigmoid".
        compat: see above.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Gao, Nevatia, 2018 (arXiv:1805.02104), temporal attention"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "share of each frame in the pooled vector; sums to 1 over T"
    ranks: tuple[int, ...] = (1,)

    def __init__(
        self,
        channels: int,
        *,
        hidden_channels: int = 256,
        kernel: int = 3,
        normaliser: Literal["softmax", "sigmoid"] = "softmax",
        compat: bool = False,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ArgumentError(f"kernel: expected an odd size, got {kernel}")
        if normaliser not in ("softmax", "sigmoid"):
            raise ArgumentError(f"normaliser: expected 'softmax' or 'sigmoid', got {normaliser!r}")
        self.normaliser, self.compat = normaliser, compat
        self.hidden = nn.Conv1d(channels, hidden_channels, 1)
        self.score = nn.Conv1d(hidden_channels, 1, kernel, padding=kernel // 2)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T) -> features (N, C), weights and scores (N, T)."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        pooled = pool(x, self._scores(x, mask), mask)
        self.observer(pooled.weights.unsqueeze(1), x.shape[2:])
        return pooled

    def _scores(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, C, T) -> (N, T), float32 at least."""
        hidden = zero_padding(F.relu(self.hidden(x)), mask)
        scores = single_precision(self.score(hidden).squeeze(1))
        scores = F.relu(scores) if self.compat else scores
        return F.logsigmoid(scores) if self.normaliser == "sigmoid" else scores
