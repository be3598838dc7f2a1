"""What learned vectors for the distances along each axis add to the logits of attention."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor


def distance_logits(query: Tensor, rows: Sequence[Tensor]) -> Tensor:
    """q · (r^T + r^H + r^W) for every pair.

    Args:
        query: (N, heads, *grid, d).
        rows: for each axis (queries, keys, d), the vector of the distance of each pair.

    Returns:
        (N, heads, L, L'), query by key.
    """
    rank = len(rows)
    letters = "tyx"[:rank]
    parts = []
    for index, vectors in enumerate(rows):
        terms = f"nh{letters}d,{letters[index]}kd->nh{letters}k"
        part = torch.einsum(terms, query, vectors)
        shape = [1] * rank
        shape[index] = part.shape[-1]
        parts.append(part.reshape(*part.shape[:-1], *shape))
    return reduce(torch.add, parts).flatten(2 + rank).flatten(2, 1 + rank)
