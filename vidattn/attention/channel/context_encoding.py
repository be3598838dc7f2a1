from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Gate
from vidattn.attention.precision import in_single_precision


class ContextEncoding(Gate):
    """Weighs channels by how the scene differs from learned words, and adds the result to x.

    z = ReLU(BN(W x)); w_ik = softmax over the words k of s_k ‖z_i − d_k‖², for each position i;
    e_k = Σ_i w_ik (z_i − d_k); e = mean over k of ReLU(BN(e_k)), one normalisation a word;
    y = ReLU(x + x · σ(V e + b)).

    Source: Zhang et al., EncNet, CVPR 2018; the last line as in the authors' code. Its loss on what
    is in the scene is a linear layer on `encode`, for the network to add.

    Args:
        channels: C.
        codewords: how many words d_k.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Zhang et al., EncNet, CVPR 2018"
    map_meaning: ClassVar[str] = "what each feature was multiplied by: 0, or between 1 and 2"

    def __init__(self, channels: int, *, codewords: int = 32) -> None:
        super().__init__()
        self.project = nn.Linear(channels, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        bound = (codewords * channels) ** -0.5
        self.codewords = nn.Parameter(torch.empty(codewords, channels).uniform_(-bound, bound))
        self.smoothing = nn.Parameter(torch.empty(codewords).uniform_(-1, 0))
        self.word_norm = nn.BatchNorm1d(codewords)
        self.excite = nn.Linear(channels, channels)

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, C, *positions) -> e (N, C), which says what is in the scene."""
        tokens = zero_padding(x, mask).flatten(2).transpose(1, 2)
        tokens = F.relu(self.norm(self.project(tokens).transpose(1, 2)).transpose(1, 2))
        with torch.autocast(x.device.type, enabled=False):
            residuals = self._residuals(single_precision(tokens), mask, x)
        encoded = F.relu(in_single_precision(self.word_norm, residuals)).mean(1)
        return encoded.to(self.codewords.dtype)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …), before the ReLU."""
        return self.per_channel(1 + self.excite(self.encode(x, mask)).sigmoid(), x)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        weights = self.weights(x, mask, None)
        if self.observer.recording:
            self.observer(weights.detach() * (x > 0), x.shape[2:])
        return F.relu(x * weights)

    def _residuals(self, tokens: Tensor, mask: Tensor | None, x: Tensor) -> Tensor:
        """(N, L, C) -> e_k (N, K, C), without holding (N, L, K, C)."""
        words = self.codewords.to(tokens.dtype)
        squares = tokens.square().sum(2, keepdim=True) + words.square().sum(1)
        distance = squares - 2 * tokens @ words.T  # (N, L, K)
        share = (self.smoothing.to(tokens.dtype) * distance).softmax(2)
        if mask is not None:
            kept = mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(2).transpose(1, 2)
            share = share.masked_fill(~kept, 0)
        total = share.sum(1)  # (N, K)
        return share.transpose(1, 2) @ tokens - total.unsqueeze(2) * words
