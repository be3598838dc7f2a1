"""Attention whose affinities are a product of two thin matrices, never multiplied out."""

from __future__ import annotations

import torch
from torch import Tensor

from vidattn.attention.masking import single_precision
from vidattn.attention.observe import Observer


def associate(
    query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, ...], observer: Observer
) -> Tensor:
    """(q kᵀ) v = q (kᵀ v): time and memory grow with L.

    Args:
        query, key: (N, heads, L, features), such that the rows of q kᵀ sum to 1; 0 at padding.
        value: (N, heads, L, width).
        grid: the sizes whose product is L.
        observer: is shown what each position received while maps are recorded.

    Returns:
        (N, heads, L, width), in at least single precision.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, value = (single_precision(part) for part in (query, key, value))
        if observer.recording:
            _show(query.detach(), key.detach(), grid, observer)
        return query @ (key.transpose(2, 3) @ value)


def normalised(query: Tensor, key: Tensor) -> Tensor:
    """q, its rows scaled so that those of q kᵀ sum to 1: (N, heads, L, features)."""
    with torch.autocast(query.device.type, enabled=False):
        total = query @ key.sum(2).unsqueeze(3)
        return query / (total + (total == 0))


def _show(query: Tensor, key: Tensor, grid: tuple[int, ...], observer: Observer) -> None:
    # Padded queries are 0 everywhere.
    real = (query != 0).any(3).sum(2).clamp(min=1)[..., None, None]
    received = (query.sum(2, keepdim=True) / real) @ key.transpose(2, 3)
    affinity = query @ key.transpose(2, 3) if observer.wants_affinity else None
    observer(received.squeeze(2).unflatten(2, grid), grid, affinity=affinity)
