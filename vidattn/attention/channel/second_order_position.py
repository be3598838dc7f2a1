from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.cells import cell_means
from vidattn.attention.covariance import RowConvolution, covariance
from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Gate

SIDE = 8


class SecondOrderPositionAttention(Gate):
    """One weight per position, from how the parts of the image vary together over the channels.

    z = BN(W x + b) with d channels, averaged over 8 × 8 cells; S = covariance of the 64 cells,
    whose observations are the channels; each row of BN(S) gives four numbers;
    a = σ(V ReLU(numbers) + c), spread to H × W, y = x · a. Clips: the observations are the
    channels of all frames, and the 64 weights are the same in each. For (T,) alone the cells
    would depend on how long the clip is.

    Source: Gao, Xie, Wang, Li, GSoP, CVPR 2019. Spread as in the authors' code: the mean of the
    cells that a position overlaps. That code centres S with the number of cells in place of the
    number of observations, which is no covariance; see `compat`.

    Args:
        channels: C.
        hidden_channels: d; None for 128 as in the paper, or C where that is less.
        compat: S as in the authors' code, for its weights.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Gao, Xie, Wang, Li, GSoP, CVPR 2019"
    map_meaning: ClassVar[str] = "what each position was multiplied by, in (0, 1)"

    ranks: tuple[int, ...] = (2, 3)

    def __init__(
        self, channels: int, *, hidden_channels: int | None = None, compat: bool = False
    ) -> None:
        super().__init__()
        hidden = hidden_channels or min(128, channels)
        self.compat = compat
        self.reduce = nn.Linear(channels, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.rows = RowConvolution(SIDE**2)
        self.excite = nn.Linear(4 * SIDE**2, SIDE**2)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, 1, H, W) or (N, 1, 1, H, W)."""
        tokens = x.flatten(2).transpose(1, 2)
        reduced = self.norm(self.reduce(tokens).transpose(1, 2)).unflatten(2, x.shape[2:])
        if x.ndim == 4:
            reduced, mask = reduced.unsqueeze(2), None if mask is None else mask.unsqueeze(2)
        with torch.autocast(x.device.type, enabled=False):
            cells, kept = _cells(single_precision(reduced), mask)
            matrix = _uncentred(cells) if self.compat else covariance(cells, kept)
        cell = self.excite(F.relu(self.rows(matrix))).sigmoid().unflatten(1, (SIDE, SIDE))
        down, across = (cell_means(SIDE, size, cell) for size in x.shape[-2:])
        spread = (down @ cell @ across.T).to(x.dtype)
        return spread.reshape(x.shape[0], 1, *[1] * (x.ndim - 4), *x.shape[-2:])


def _cells(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """(N, d, T, H, W) -> (N, cells, d · T), and which of the d · T count, (N, 1, d · T)."""
    down, across = (cell_means(size, SIDE, x) for size in x.shape[-2:])
    if mask is None:
        means = down @ x @ across.T
        return means.flatten(3).flatten(1, 2).transpose(1, 2), None
    mask = mask.expand(x.shape[0], 1, *x.shape[2:])
    real = down @ mask.to(x.dtype) @ across.T
    # A cell without real positions has the sum 0: divide it by anything.
    means = (down @ zero_padding(x, mask) @ across.T) / torch.where(real > 0, real, 1)
    kept = mask.flatten(3).any(3).expand(-1, x.shape[1], -1).flatten(1)
    return means.flatten(3).flatten(1, 2).transpose(1, 2), kept.unsqueeze(1)


def _uncentred(cells: Tensor) -> Tensor:
    """Y (I / M − 1 1ᵀ / M²) Yᵀ with M cells in place of M observations, 0 at padding."""
    count = cells.shape[1]
    total = cells.sum(2, keepdim=True) / count
    return cells @ cells.transpose(1, 2) / count - total @ total.transpose(1, 2)
