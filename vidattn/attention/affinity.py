"""Scaled dot-product attention by the fused kernel, which returns no weights, and its map."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.observe import Observer, RecordingError

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
    registers: int = 0,
    causal: bool = False,
) -> Tensor:
    """softmax(scale · q kᵀ) v, among the positions of one input.

    q is scaled before the product, which would overflow half precision.

    Args:
        query, key, value: (N, heads, L, width); value may have its own width, and key and value
            may have registers behind the positions.
        scale: factor of the dot products.
        mask: bool (N, L); False positions are not attended to, and their own result is 0.
        grid: the sizes whose product is L.
        observer: is shown what each position received while maps are recorded.
        registers: how many of the keys, the last ones, stand for no position.
        causal: a position attends to itself, those before it and registers only.

    Returns:
        (N, heads, L, value width).
    """
    query = query * scale
    keys = mask if mask is None or not registers else F.pad(mask, (0, registers), value=True)
    if observer.recording:
        affinity = None
        if observer.wants_affinity:
            refuse_what_cannot_fit(query, key)
            affinity = affinities(query, key, keys, causal=causal, registers=registers)
        seen = received(query, key, mask, causal=causal, registers=registers)
        observer(seen.unflatten(2, grid), grid, affinity=affinity)
    mixed = mix(query, key, value, keys, causal=causal, registers=registers)
    return mixed if mask is None else mixed.masked_fill(~mask[:, None, :, None], 0)


def mix(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    causal: bool = False,
    registers: int = 0,
) -> Tensor:
    """softmax(q kᵀ) v by the fused kernel: q (N, heads, Q, width), scaled; mask (N, L) of keys."""
    if mask is None and not (causal and registers):
        return F.scaled_dot_product_attention(query, key, value, scale=1.0, is_causal=causal)
    attended = _attended(query, key, mask, causal=causal, registers=registers)
    # A query without any key gives NaN in some kernels: let it see all; it is for the caller to
    # drop its result.
    attended = attended | ~attended.any(3, keepdim=True)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=attended, scale=1.0)


def _attended(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    *,
    causal: bool,
    registers: int,
    start: int = 0,
) -> Tensor:
    """Bool, broadcastable to (N, heads, Q, L): which keys a query may see."""
    if not causal:
        assert mask is not None
        return mask[:, None, None]
    positions = torch.arange(key.shape[2], device=key.device)
    queries = torch.arange(start, start + query.shape[2], device=key.device)
    seen = positions <= queries[:, None]
    if registers:
        seen = seen | (positions >= key.shape[2] - registers)
    return seen[None, None] if mask is None else mask[:, None, None] & seen


@torch.no_grad()
def affinities(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    *,
    causal: bool = False,
    registers: int = 0,
    start: int = 0,
) -> Tensor:
    """(N, heads, Q, L): each query's weights; rows sum to 1, or are 0 where all is padding.

    The first query is at position `start`, which only matters where attention is causal.
    """
    keys = None
    if causal or mask is not None:
        keys = _attended(query, key, mask, causal=causal, registers=registers, start=start)
    with torch.autocast(query.device.type, enabled=False):
        scores = single_precision(query) @ single_precision(key).transpose(2, 3)
        return masked_softmax(scores, keys, dim=3)


@torch.no_grad()
def received(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    *,
    causal: bool = False,
    registers: int = 0,
) -> Tensor:
    """(N, heads, L): each key's weight averaged over the real queries, in pieces.

    Registers, the last keys, stand for no position and are left out of the result.
    """
    batch, heads, length, _ = query.shape
    keys = mask if mask is None or not registers else F.pad(mask, (0, registers), value=True)
    step = max(1, CHUNK // (batch * heads * key.shape[2]))
    total = single_precision(query).new_zeros(batch, heads, key.shape[2])
    for start in range(0, length, step):
        part = query[:, :, start : start + step]
        rows = affinities(part, key, keys, causal=causal, registers=registers, start=start)
        if mask is not None:
            rows = rows.masked_fill(~mask[:, None, start : start + step, None], 0)
        total += rows.sum(2)
    total = total[:, :, : key.shape[2] - registers]
    if mask is None:
        return total / length
    return total / mask.sum(1).clamp(min=1)[:, None, None]


def refuse_what_cannot_fit(query: Tensor, key: Tensor) -> None:
    """Raise a RecordingError where whole query-by-key matrices would not fit into memory.

    Counted are the scores and their softmax, which are held at once.
    """
    batch, heads, queries, _ = query.shape
    needed = 2 * batch * heads * queries * key.shape[2] * single_precision(query).element_size()
    free = free_bytes(query.device)
    if needed <= free:
        return
    raise RecordingError(
        f"record_maps: affinities='full' needs {needed / 1e9:.3g} GB for {batch} x {heads} "
        f"matrices of {queries} x {key.shape[2]} here, and {free / 1e9:.3g} GB are free. Record "
        "affinities='received', which is computed in pieces; or let fewer positions see each "
        "other: scope='frame', 'divided_space_time', windows, or a coarser grid"
    )


def free_bytes(device: torch.device) -> int:
    """Memory that a new tensor on this device can take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # No such file outside Linux: all there is, as far as anybody can tell.
        return sys.maxsize
    available = next(line for line in lines if line.startswith("MemAvailable:"))
    return int(available.split()[1]) * 1024
