from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention import affinity
from vidattn.attention.affinity import affinities, mix, refuse_what_cannot_fit
from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class TrajectoryAttention(Mixer):
    """Each position finds its counterpart in every frame, then reads along that trajectory.

    In each frame t': ỹ_{p,t'} = softmax over its positions(q_p · k / √d) v. Then over frames:
    y_p = softmax over t'(q̃_p · k̃_{p,t'} / √d) ṽ_{p,t'}, with q̃ linear in the trajectory's point
    in p's own frame, k̃ and ṽ linear in all its points. Result x + W_o y + b_o; q, k, v are
    linear in LayerNorm(x), d = C / heads. Memory grows with L·T·C.

    Source: Patrick et al., Motionformer, NeurIPS 2021, without its class token.

    Args:
        channels: C.
        heads: must divide C.
        compat: ṽ is the trajectory itself, as a slip in the published code has it, and as the
            published weights need.
    """

    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Patrick et al., Motionformer, NeurIPS 2021"
    ranks: tuple[int, ...] = (3,)
    map_meaning: ClassVar[str] = (
        "attention each position received, weight of the frame times weight in the frame, mean "
        "over queries; sums to 1"
    )

    def __init__(self, channels: int, *, heads: int = 8, compat: bool = False) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.along_query = nn.Linear(channels, channels)
        self.along_key = nn.Linear(channels, channels)
        self.along_value = nn.Identity() if compat else nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        frames = grid[0]
        projected = self.query_key_value(self.norm(tokens)).unflatten(2, (3, self.heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        query = query * self.scale
        kept = None if mask is None else mask.unflatten(1, (frames, -1))
        points = self.follow(query, key, value, kept, frames)  # (N, T', L, C)

        # Each position's point in its own frame: (N, T', T, S, C), T' = T -> (N, T, S, C).
        own = points.unflatten(2, (frames, -1)).diagonal(dim1=1, dim2=2).movedim(3, 1)
        here = self.along_query(own.flatten(1, 2)).unflatten(2, (self.heads, -1)) * self.scale
        there = self.along_key(points).unflatten(3, (self.heads, -1))
        values = self.along_value(points).unflatten(3, (self.heads, -1))
        logits = torch.einsum("nlhd,ntlhd->nhlt", here, there)
        seen = None if kept is None else kept.any(2)[:, None, None]
        along = masked_softmax(logits, seen, dim=3)
        self.show(query, key, along, mask, grid)
        mixed = torch.einsum("nhlt,ntlhd->nlhd", along.to(values.dtype), values)
        return self.output(mixed.flatten(2))

    def follow(
        self, query: Tensor, key: Tensor, value: Tensor, kept: Tensor | None, frames: int
    ) -> Tensor:
        """Attention of every position to each frame by itself: (N, T', L, C)."""

        def by_frame(x: Tensor) -> Tensor:
            """(N, heads, T'·S, d) -> (N·T', heads, S, d)."""
            return x.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1)

        to_each = query.unsqueeze(1).expand(-1, frames, -1, -1, -1).flatten(0, 1)
        seen = None if kept is None else kept.flatten(0, 1)
        points = mix(to_each, by_frame(key), by_frame(value), seen)
        return points.transpose(1, 2).flatten(2).unflatten(0, (-1, frames))

    def show(
        self, query: Tensor, key: Tensor, along: Tensor, mask: Tensor | None, grid: tuple[int, ...]
    ) -> None:
        """Hand the weights to the observer, in pieces."""
        if not self.observer.recording:
            return
        whole = None
        if self.observer.wants_affinity:
            refuse_what_cannot_fit(query, key)
            whole = joint_weights(query, key, along, mask)
        batch, heads, length, _ = query.shape
        step = max(1, affinity.CHUNK // (batch * heads * length))
        total = single_precision(query).new_zeros(batch, heads, length)
        for start in range(0, length, step):
            part = slice(start, start + step)
            rows = joint_weights(query[:, :, part], key, along[:, :, part], mask)
            if mask is not None:
                rows = rows.masked_fill(~mask[:, None, part, None], 0)
            total += rows.sum(2)
        count = length if mask is None else mask.sum(1).clamp(min=1)[:, None, None]
        self.observer((total / count).unflatten(2, grid), grid, affinity=whole)


@torch.no_grad()
def joint_weights(query: Tensor, key: Tensor, along: Tensor, mask: Tensor | None) -> Tensor:
    """(N, heads, Q, T·S): the weight of the frame, along (N, heads, Q, T), times that within."""
    frames = along.shape[3]
    keys = key.unflatten(2, (frames, -1)).unbind(2)
    masks = [None] * frames if mask is None else mask.unflatten(1, (frames, -1)).unbind(1)
    inside = [affinities(query, one, kept) for one, kept in zip(keys, masks, strict=True)]
    return (torch.stack(inside, 3) * along.unsqueeze(4)).flatten(3)
