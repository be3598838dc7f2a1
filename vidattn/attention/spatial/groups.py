"""Attention inside groups of positions (windows, blocks, lines), and its map.

A group has its own queries and keys: q (N, G, heads, Q, width), k and v (N, G, heads, K, width).
Nothing here is as large as L × L, except when somebody records whole affinity matrices.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vidattn.attention.affinity import CHUNK
from vidattn.attention.masking import single_precision
from vidattn.attention.observe import Observer


class Places(NamedTuple):
    """Where the members of each group lie in x.

    Attributes:
        queries: (G, Q), index of the position among all L; L where there is none.
        keys: (G, K), likewise.
        real: bool (N or 1, L), False at padding.
        grid: the sizes whose product is L.
    """

    queries: Tensor
    keys: Tensor
    real: Tensor
    grid: tuple[int, ...]


def attend_in_groups(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(q kᵀ + bias) v in every group, by the fused kernel.

    Args:
        query: (N, G, heads, Q, width), scaled already.
        key, value: (N, G, heads, K, width).
        bias: what is added to the logits, or bool: which pairs may be. Of size 1 or full
             on each of (N, G, heads), then Q × K. Every query needs a key it may see.

    Returns:
        (N, G, heads, Q, width).
    """
    # The axes along which the bias is the same go to the second place, where it is not repeated.
    own = [axis for axis in range(3) if bias.shape[axis] != 1]
    order = [*own, *(axis for axis in range(3) if axis not in own), 3, 4]
    sizes = [query.shape[axis] for axis in order[:3]]
    leading = (prod(sizes[: len(own)]), prod(sizes[len(own) :]))
    query, key, value = (
        part.permute(order).reshape(*leading, *part.shape[3:]) for part in (query, key, value)
    )
    bias = bias.permute(order).reshape(leading[0], 1, *bias.shape[3:])
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
    back = [order.index(axis) for axis in range(5)]
    return mixed.reshape(*sizes, *mixed.shape[2:]).permute(back)


def forbid(bias: Tensor, allowed: Tensor) -> Tensor:
    """The bias with −∞ where a pair is not allowed."""
    return bias.masked_fill(~allowed, -torch.inf)


@torch.no_grad()
def show_groups(
    observer: Observer, query: Tensor, key: Tensor, bias: Tensor, places: Places
) -> None:
    """Hand on what each position received, averaged over all real queries of the input."""
    batch, groups, heads, _, _ = query.shape
    length = prod(places.grid)
    real = F.pad(places.real, (0, 1)).expand(batch, -1)
    received = single_precision(query).new_zeros(batch, heads, length + 1)
    whole = None
    if observer.wants_affinity:
        whole = received.new_zeros(batch, heads, length + 1, length + 1)
    pairs = query.shape[3] * key.shape[3]
    step = max(1, CHUNK // (batch * heads * pairs))
    for start in range(0, groups, step):
        part = slice(start, start + step)
        rows = _weights(query[:, part], key[:, part], _part(bias, part))
        queries, keys = places.queries[part], places.keys[part]
        seen = real[:, queries][:, :, None, :, None] & real[:, keys][:, :, None, None, :]
        rows = rows.masked_fill(~seen, 0).transpose(1, 2)
        received.index_add_(2, keys.flatten(), rows.sum(3).flatten(2))
        if whole is not None:
            for index in range(queries.shape[0]):
                picked = (queries[index][:, None], keys[index][None, :])
                whole[:, :, picked[0], picked[1]] += rows[:, :, index]
    counts = real.sum(1).clamp(min=1)[:, None, None]
    values = (received[:, :, :length] / counts).unflatten(2, places.grid)
    affinity = None if whole is None else whole[:, :, :length, :length]
    observer(values, places.grid, affinity=affinity)


def _part(bias: Tensor, part: slice) -> Tensor:
    return bias if bias.shape[1] == 1 else bias[:, part]


def _weights(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
    with torch.autocast(query.device.type, enabled=False):
        scores = single_precision(query) @ single_precision(key).transpose(3, 4)
        if bias.dtype == torch.bool:
            return scores.masked_fill(~bias, -torch.inf).softmax(4)
        return (scores + single_precision(bias)).softmax(4)
