"""Scaled dot-product attention by the fused kernel, which returns no weights, and its map."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.observe import Observer

# Affinities held at once while they are reduced: 16 MB of float32.
CHUNK = 2**22


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    mask: Tensor | None,
    grid: tuple[int, ...],
    observer: Observer,
    causal: bool = False,
) -> Tensor:
    """softmax(scale · q kᵀ) v, among the positions of one input.

    q is scaled before the product, which would overflow half precision.

    Args:
        query, key, value: (N, heads, L, width); value may have its own width.
        scale: factor of the dot products.
        mask: bool (N, L); False positions are not attended to, and their own result is 0.
        grid: the sizes whose product is L.
        observer: is shown what each position received while maps are recorded.
        causal: a position attends to itself and to those before it only.

    Returns:
        (N, heads, L, value width).
    """
    query = query * scale
    if observer.recording:
        affinity = affinities(query, key, mask, causal) if observer.wants_affinity else None
        observer(received(query, key, mask, causal).unflatten(2, grid), grid, affinity=affinity)
    if mask is None:
        return F.scaled_dot_product_attention(query, key, value, scale=1.0, is_causal=causal)
    attended = mask[:, None, None]
    if causal:
        attended = attended & not_later(mask.shape[1], mask.shape[1], 0, mask.device)
    # A query without any key gives NaN in some kernels: let it see all, then drop its result.
    attended = attended | ~attended.any(3, keepdim=True)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attended, scale=1.0)
    return mixed.masked_fill(~mask[:, None, :, None], 0)


def not_later(queries: int, keys: int, start: int, device: torch.device) -> Tensor:
    """Bool (queries, keys): the key is not later than the query; queries count from `start`."""
    query = torch.arange(start, start + queries, device=device)
    return torch.arange(keys, device=device) <= query[:, None]


@torch.no_grad()
def affinities(
    query: Tensor, key: Tensor, mask: Tensor | None, causal: bool = False, start: int = 0
) -> Tensor:
    """(N, heads, Q, L): each query's weights; rows sum to 1, or are 0 where all is padding.

    The first query is at position `start`, which only matters where attention is causal.
    """
    keys = None if mask is None else mask[:, None, None]
    if causal:
        earlier = not_later(query.shape[2], key.shape[2], start, key.device)
        keys = earlier if keys is None else keys & earlier
    with torch.autocast(query.device.type, enabled=False):
        scores = single_precision(query) @ single_precision(key).transpose(2, 3)
        return masked_softmax(scores, keys, dim=3)


@torch.no_grad()
def received(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
    """(N, heads, L): each key's weight averaged over the real queries, in pieces."""
    batch, heads, length, _ = query.shape
    step = max(1, CHUNK // (batch * heads * length))
    total = single_precision(query).new_zeros(batch, heads, length)
    for start in range(0, length, step):
        rows = affinities(query[:, :, start : start + step], key, mask, causal, start)
        if mask is not None:
            rows = rows.masked_fill(~mask[:, None, start : start + step, None], 0)
        total += rows.sum(2)
    if mask is None:
        return total / length
    return total / mask.sum(1).clamp(min=1)[:, None, None]
