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

# A sum of scores up to this is that of zeros.
SMALLEST = 1e-12


# A sum of scores up to this is that of zeros.
SMALLEST = 1e-12


class StripeAttentionPooling(Mechanism):
    """One vector from a clip of people: each horizontal stripe taken from the frames that show it.

    The energy of a position is its length, ‖x‖₂ over C, over the L2 norm of its frame's
    energies; a stripe's score s_{t,k} is their mean, and a_{t,k} = s_{t,k} / Σ_t s_{t,k}. With
    v_{t,k} the mean of x in a stripe: f₁ = mean over k of v at the frame of the largest a,
    f₂ = mean over k of Σ_t a_{t,k} v_{t,k}, features = W [f₁, f₂] + b. The attention itself
    has no parameters. The weights are those of f₂, spread evenly over each stripe; the scores
    log s. Rows belong to stripes in order, as evenly as they can; a stripe without any row or
    without real positions is left out.

    (N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W).

    Source: Fu et al., STA, AAAI 2019, with its feature fusion. Sums in place of the mean within
    stripes give the same a.

    Args:
        channels: C.
        stripes: K.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Fu et al., STA, AAAI 2019"
    ranks: tuple[int, ...] = (3,)
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "share of each frame in its stripes, spread over them; sums to 1"
    weighs_input: ClassVar[bool] = False

    def __init__(self, channels: int, *, stripes: int = 4) -> None:
        super().__init__()
        if stripes < 1:
            raise ArgumentError(f"stripes: expected 1 or more, got {stripes}")
        self.stripes = stripes
        self.fusion = nn.Linear(2 * channels, channels)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W)."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).squeeze(1)
        rows = torch.arange(x.shape[3], device=x.device) * self.stripes // x.shape[3]
        exact = single_precision(x)
        belongs = rows == torch.arange(self.stripes, device=x.device)[:, None]  # (K, H)
        belongs = belongs.to(exact.dtype)

        real = torch.ones_like(exact[:, 0]) if kept is None else kept.to(exact.dtype)
        count = over_stripes(real, belongs)
        energy = torch.linalg.vector_norm(exact, dim=1)
        energy = F.normalize(energy.flatten(2), dim=2).unflatten(2, x.shape[3:])
        score = over_stripes(energy, belongs) / count.clamp(min=1)
        share = share_over_time(score, count)
        best = share.argmax(1, keepdim=True) == torch.arange(x.shape[2], device=x.device)[:, None]

        def spread(shares: Tensor) -> Tensor:
            """Shares of frames in their stripes as weights of positions, summing to 1."""
            of_all = (count.sum(1, keepdim=True) > 0).sum(2, keepdim=True).clamp(min=1)
            each = (shares / count.clamp(min=1) / of_all)[:, :, rows]
            return each[..., None].expand(-1, -1, -1, x.shape[4]) * real

        weights = spread(share)
        both = torch.stack((spread(best.to(exact.dtype)), weights), 1).flatten(2)
        features = self.fusion((both.to(x.dtype) @ x.flatten(2).transpose(1, 2)).flatten(1))
        if kept is not None:
            features = features.masked_fill(~kept.flatten(1).any(1, keepdim=True), 0)
        log_score = score.clamp(min=torch.finfo(score.dtype).tiny).log()[:, :, rows]
        scores = lowest_at_padding(log_score[..., None].expand_as(weights).contiguous(), kept)
        self.observer(weights.unsqueeze(1), x.shape[2:])
        return Pooled(features, weights, scores)


def over_stripes(x: Tensor, belongs: Tensor) -> Tensor:
    """(N, T, H, W) and which rows are in which stripe (K, H) -> sums (N, T, K)."""
    # Not a matrix product, which autocast would round.
    return (x.sum(3).unsqueeze(2) * belongs).sum(3)


def share_over_time(score: Tensor, count: Tensor) -> Tensor:
    """(N, T, K) -> the same, summing to 1 over T; even where a stripe is all zeros."""
    total = score.sum(1, keepdim=True)
    there = (count > 0).to(score.dtype)
    even = there / there.sum(1, keepdim=True).clamp(min=1)
    nothing = total <= SMALLEST
    return torch.where(nothing, even, score / total.masked_fill(nothing, 1))
