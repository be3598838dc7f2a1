"""How attention flows through a stack of layers, from the last one back to the input."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Literal

import torch
from torch import Tensor

from vidattn.attention.masking import single_precision
from vidattn.attention.observe import AttentionMap, Recording
from vidattn.errors import ArgumentError

Heads = Literal["mean", "max", "min"]


def rollout(
    affinities: Iterable[Tensor], *, heads: Heads = "mean", residual: float = 0.5
) -> Tensor:
    """Multiply the weights of all layers, each mixed with what passes by it.

    Ã = (1 − r) A + r I with A over heads, rows made to sum to 1; R = Ã_n … Ã_2 Ã_1.

    Source: Abnar, Zuidema, Quantifying Attention Flow, ACL 2020, where r = ½ and heads are
    averaged.

    Args:
        affinities: (B, heads, L, L), query by key, from the first layer to the last.
        heads: how they become one.
        residual: r, the share of a token that comes from itself.

    Returns:
        (B, L, L), float32 at least: row q is how much of each input token is in output q; sums
        to 1.

    Raises:
        ArgumentError: there is no layer, or not all are square and of one size.
    """
    if heads not in ("mean", "max", "min"):
        raise ArgumentError(f"heads: expected 'mean', 'max' or 'min', got {heads!r}")
    if not 0 <= residual < 1:
        raise ArgumentError(f"residual: expected 0 to 1, 1 excluded, got {residual}")
    rolled: Tensor | None = None
    for affinity in affinities:
        step = _step(affinity, heads, residual)
        if rolled is not None and rolled.shape != step.shape:
            raise ArgumentError(
                "affinities: expected layers of one shape (B, L, L), got "
                f"{tuple(rolled.shape)} and {tuple(step.shape)}; views that fold other axes, "
                "and pooled tokens, cannot be multiplied"
            )
        rolled = step if rolled is None else step @ rolled
    if rolled is None:
        raise ArgumentError("affinities: expected at least one layer")
    return rolled


def rollout_map(
    maps: Recording | Iterable[AttentionMap],
    *,
    query: int | None = None,
    heads: Heads = "mean",
    residual: float = 0.5,
) -> Tensor:
    """The rollout of recorded layers as a map over the clip.

        seen = adapt(network, grid=(8, 14, 14), prefix_tokens=1)
        with record_maps(seen, affinities="full") as maps:
            seen(clip)
        rollout_map(maps, query=0)  # what the class token is made of

    Args:
        maps: affinity maps of one grid, recorded with `affinities="full"`, first layer first.
        query: row of the rollout, such as 0 for a class token in front; None for the mean over
            all rows.
        heads, residual: see `rollout`.

    Returns:
        (N, T, H, W); the share of tokens in front of the positions is left out. Layers whose
        view folds T into the batch (B = N·T) give each frame by itself.

    Raises:
        ArgumentError: whole matrices were not recorded, or the layers do not fit each other.
    """
    layers = list(maps)
    affinities = []
    for found in layers:
        if found.affinity is None or found.kind != "affinity":
            raise ArgumentError(
                f"maps: {found.name!r} has no whole matrix; record affinity maps with "
                'record_maps(model, affinities="full")'
            )
        if found.grid != layers[0].grid:
            raise ArgumentError(
                f"maps: expected layers of one grid, got {layers[0].grid} and {found.grid}"
            )
        affinities.append(found.affinity)
    rolled = rollout(affinities, heads=heads, residual=residual)
    row = rolled.mean(1) if query is None else rolled[:, query]
    return _in_clip(row, layers[0])


def _step(affinity: Tensor, heads: Heads, residual: float) -> Tensor:
    if affinity.ndim != 4 or affinity.shape[2] != affinity.shape[3]:
        raise ArgumentError(f"affinities: expected (B, heads, L, L), got {tuple(affinity.shape)}")
    affinity = single_precision(affinity)
    joined = affinity.mean(1) if heads == "mean" else getattr(affinity, f"a{heads}")(1)
    identity = torch.eye(joined.shape[1], dtype=joined.dtype, device=joined.device)
    mixed = (1 - residual) * joined + residual * identity
    # Padding asks for nothing: with r = 0 its row is empty, and stays so.
    return mixed / mixed.sum(2, keepdim=True).clamp(min=torch.finfo(mixed.dtype).tiny)


def _in_clip(row: Tensor, found: AttentionMap) -> Tensor:
    """(B, tokens) -> (N, T, H, W), whose tokens are the last ones."""
    clips = found.values.shape[0]
    folded = len(row) // clips  # frames that a view put into the batch
    frames, height, width = found.grid
    if len(row) % clips or folded not in (1, frames):
        raise ArgumentError(
            f"maps: a batch of {len(row)} for {clips} clips of {frames} frames cannot be laid out"
        )
    positions = prod(found.grid) // folded
    if row.shape[1] < positions:
        raise ArgumentError(f"maps: {row.shape[1]} tokens are fewer than {positions} positions")
    return row[:, -positions:].reshape(clips, frames, height, width)
