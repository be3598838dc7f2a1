from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from vidattn.attention.masking import masked_softmax, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Reduced
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.token.selection import flat_mask, gather_positions, one_hot
from vidattn.errors import ArgumentError


class TokenMerging(Mechanism):
    """The most alike positions are merged, r of them, into their mean.

    Positions of even number form A, of odd number B. Each of A is paired with the one of B of
    largest cosine; the r pairs of largest cosine are merged, into means weighted by how many
    positions each member stands for already. r is at most L // 2, so L − r tokens come out; they
    keep the order of their positions, that of a merged token being B's. No parameters: it goes
    into trained networks as it is. Padding is never merged: of a padded input r is at most half
    of the real positions.

    (N, C, *positions) -> features (N, C, L − r), source (N, L − r, *positions), valid (N, L − r).

    Source: Bolya et al., Token Merging, ICLR 2023, "bipartite soft matching". The paper measures
    likeness by the keys of attention: give them as `likeness`; without it x itself serves.
    Attention among merged tokens is `proportional_attention`.

    Args:
        channels: C.
        merged: r, how many positions fewer there are afterwards.
    """

    kind: ClassVar[Kind] = "reducer"
    family: ClassVar[str] = "token"
    source: ClassVar[str] = "Bolya et al., Token Merging, ICLR 2023"
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = "share of each position in each token; a token's shares sum to 1"

    def __init__(self, channels: int, *, merged: int = 8) -> None:
        super().__init__()
        if merged < 0:
            raise ArgumentError(f"merged: expected at least 0, got {merged}")
        self.merged = merged
        self.observer = Observer(self.map_kind)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        context: Any = None,
        likeness: Tensor | None = None,
        sizes: Tensor | None = None,
    ) -> Reduced:
        """(N, C, *positions) -> L − r tokens.

        Args:
            x, mask, context: see `Mechanism.forward`.
            likeness: (N, D, *positions), by whose cosine pairs are found; x without it.
            sizes: (N, *positions), how many positions each one stands for; 1 without it. Those
                of the tokens are the sums of (source > 0) · sizes.
        """
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = flat_mask(x, mask)
        metric = single_precision(x if likeness is None else zero_padding(likeness, mask))
        target = merge_targets(metric.flatten(2).transpose(1, 2), kept, self.merged)
        weight = metric.new_ones(target.shape) if sizes is None else sizes.flatten(1).to(metric)
        weight = weight if kept is None else weight.masked_fill(~kept, 0)
        total = torch.zeros_like(weight).scatter_add(1, target, weight)
        share = weight / total.gather(1, target).clamp(min=1)

        length = target.shape[1]
        gone = target != torch.arange(length, device=x.device)
        count = length - min(self.merged, length // 2)
        # Real tokens in their order, then padding; those that are gone come last and are cut off.
        rank = gone.to(torch.int8) * 2
        rank = rank if kept is None else rank.maximum((~kept).to(torch.int8))
        survivors = rank.argsort(dim=1, stable=True)[:, :count]
        valid = rank.gather(1, survivors) == 0
        source = one_hot(target, length).transpose(1, 2) * share.unsqueeze(1)
        source = source.gather(1, survivors.unsqueeze(2).expand(-1, -1, length))
        source = source.unflatten(2, x.shape[2:])
        self.observer(source, x.shape[2:])

        shares = x.flatten(2) * share.unsqueeze(1).to(x.dtype)
        sums = torch.zeros_like(shares).scatter_add(
            2, target.unsqueeze(1).expand_as(shares), shares
        )
        return Reduced(gather_positions(sums, survivors), source, valid)


def merge_targets(metric: Tensor, kept: Tensor | None, merged: int) -> Tensor:
    """(N, L): the position that each one is merged into, itself where it stays.

    Args:
        metric: (N, L, D).
        kept: bool (N, L); False takes no part.
        merged: how many are merged into another; half of the real ones where that is less.
    """
    batch, length = metric.shape[:2]
    own = torch.arange(length, device=metric.device).expand(batch, -1)
    if length < 2:
        return own.clone()
    unit = F.normalize(metric, dim=2, eps=torch.finfo(metric.dtype).tiny)
    with torch.autocast(metric.device.type, enabled=False):
        alike = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)
    merged = min(merged, length // 2)
    rank = torch.arange(merged, device=metric.device)
    allowed = (rank < merged).expand(batch, -1)
    if kept is not None:
        real = kept[:, ::2, None] & kept[:, None, 1::2]
        alike = alike.masked_fill(~real, -2.0)  # below every cosine
        allowed = rank < kept.sum(1, keepdim=True) // 2
    best, partner = alike.max(2)
    chosen = best.argsort(dim=1, descending=True, stable=True)[:, :merged]
    allowed = allowed & (best.gather(1, chosen) > -2)
    into = torch.where(allowed, 2 * partner.gather(1, chosen) + 1, 2 * chosen)
    return own.scatter(1, 2 * chosen, into)


def proportional_attention(
    query: Tensor, key: Tensor, value: Tensor, sizes: Tensor, *, scale: float
) -> Tensor:
    """Attention in which each key counts as often as it has positions merged into it.

    softmax(scale · q kᵀ + log sizes) v.

    Source: Bolya et al., Token Merging, ICLR 2023.

    Args:
        query: (N, heads, Q, width).
        key, value: (N, heads, L, width).
        sizes: (N, L), how many positions each key stands for; one of 0 is not attended to.
        scale: factor of the dot products.
    """
    with torch.autocast(query.device.type, enabled=False):
        scores = single_precision(query * scale) @ single_precision(key).transpose(2, 3)
        sizes = sizes.to(scores.dtype)[:, None, None]
        scores = scores + sizes.clamp(min=torch.finfo(scores.dtype).tiny).log()
        weights = masked_softmax(scores, sizes > 0, dim=3)
    return weights.to(value.dtype) @ value
