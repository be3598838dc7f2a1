"""Second-order statistics: which variables vary together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision


def covariance(x: Tensor, kept: Tensor | None) -> Tensor:
    """(N, variables, observations) -> (N, variables, variables), float32 at least.

    Divided by the number of observations.

    Args:
        x: what varies.
        kept: bool, broadcastable to (N, 1, observations); False ones do not count.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = single_precision(x)
        if kept is None:
            away = x - x.mean(2, keepdim=True)
            return away @ away.transpose(1, 2) / x.shape[2]
        kept = kept.expand(x.shape[0], 1, x.shape[2])
        count = kept.sum(2, keepdim=True).clamp(min=1)
        mean = x.masked_fill(~kept, 0).sum(2, keepdim=True) / count
        away = (x - mean).masked_fill(~kept, 0)
        return away @ away.transpose(1, 2) / count


class RowConvolution(nn.Module):
    """Four numbers from each row of a square matrix, with weights of its own for each row.

    Rows are batch-normalised first, over samples and columns.

    Args:
        size: rows and columns.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)
        self.convolution = nn.Conv1d(size, 4 * size, size, groups=size)

    def forward(self, matrix: Tensor) -> Tensor:
        """(N, size, size) -> (N, 4 · size)."""
        dtype = self.convolution.weight.dtype
        return self.convolution(self.norm(matrix.to(dtype))).squeeze(2)
