from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.errors import ArgumentError


class NetVlad(Mechanism):
    """One vector from all positions: how they lie around learned centres, cluster by cluster.

    With x_i of length 1, a_ik = softmax_k(w_k · x_i + b_k) and V_k = Σ_i a_ik (x_i − c_k), each of
    length 1, then all of them together of length 1; features = W V, from K · C to C numbers.
    In a clip the sum goes over time and space (ActionVLAD). The weight of a position is its
    share of the ways to the centres, r_i = Σ_k a_ik ‖x_i − c_k‖, and its score log r_i. The map
    shows a_ik.

    (N, C, *positions) -> features (N, C), weights and scores (N, *positions).

    Source: Arandjelović et al., NetVLAD, CVPR 2016 (https://arxiv.org/abs/1511.07247), whose last
    step is a principal component analysis in place of W; Girdhar et al., ActionVLAD, CVPR 2017
    (https://arxiv.org/abs/1704.02895). They take centres, w and b from clusters of the data;
    here they are drawn at random.

    Args:
        channels: C.
        clusters: K.
        normalise_input: bring each x_i to length 1 first.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = (
        "Arandjelović et al., NetVLAD, CVPR 2016; Girdhar et al., ActionVLAD, CVPR 2017"
    )
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = "share of each position in each cluster; a position's sum to 1"
    weighs_input: ClassVar[bool] = False

    def __init__(self, channels: int, *, clusters: int = 32, normalise_input: bool = True) -> None:
        super().__init__()
        if clusters < 1:
            raise ArgumentError(f"clusters: expected at least 1, got {clusters}")
        self.normalise_input = normalise_input
        self.assign = nn.Linear(channels, clusters)
        self.centres = nn.Parameter(torch.randn(clusters, channels) * channels**-0.5)
        # Without a bias, so that a sample of padding only gives 0.
        self.output = nn.Linear(clusters * channels, channels, bias=False)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, *positions) -> features (N, C), weights and scores (N, *positions)."""
        self.check_rank(x)
        tokens = zero_padding(x, mask).flatten(2).transpose(1, 2)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        with torch.autocast(x.device.type, enabled=False):
            tokens = single_precision(tokens)
            if self.normalise_input:
                tokens = F.normalize(tokens, dim=2)
            dtype = tokens.dtype
            bias = self.assign.bias.to(dtype)
            shares = F.linear(tokens, self.assign.weight.to(dtype), bias).softmax(2)
            if kept is not None:
                shares = shares.masked_fill(~kept.unsqueeze(2), 0)
            vectors = self._residuals(tokens, shares)
            distances = self._distances(tokens, shares)
        features = self.output(vectors.flatten(1).to(self.output.weight.dtype))
        self.observer(shares.transpose(1, 2).unflatten(2, x.shape[2:]), x.shape[2:])
        total = distances.sum(1, keepdim=True)
        weights = (distances / (total + (total == 0))).unflatten(1, x.shape[2:])
        logs = distances.clamp(min=torch.finfo(distances.dtype).tiny).log()
        scores = lowest_at_padding(logs, kept).unflatten(1, x.shape[2:])
        return Pooled(features.to(x.dtype), weights, scores)

    def _residuals(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """V: (N, K, C), without holding all differences."""
        centres = self.centres.to(tokens.dtype)
        vectors = shares.transpose(1, 2) @ tokens - shares.sum(1).unsqueeze(2) * centres
        vectors = F.normalize(vectors, dim=2)
        return F.normalize(vectors.flatten(1), dim=1).unflatten(1, vectors.shape[1:])

    def _distances(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """r: (N, L)."""
        centres = self.centres.to(tokens.dtype)
        squares = tokens.square().sum(2, keepdim=True) + centres.square().sum(1)
        squares = squares - 2 * tokens @ centres.T
        # A root has no slope at 0, and rounding may lead below it.
        return (shares * squares.clamp(min=1e-12).sqrt()).sum(2)
