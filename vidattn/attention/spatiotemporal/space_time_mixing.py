from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.affinity import attend
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.views import PerFrame
from vidattn.errors import ArgumentError


class SpaceTimeMixing(Mechanism):
    """Attention within each frame, to keys and values that have channels of the frames beside it.

    y = x + W_o [softmax(q k̃ᵀ / √d) ṽ] + b_o per frame, q, k, v linear in LayerNorm(x). In each
    head of k̃ and ṽ the first d / divisor channels are those of the next frame at the same site,
    as many again those of the previous one, the rest the frame's own; 0 beyond the ends. The
    query is not shifted. It costs what attention within frames does.

    Source: Bulat et al., X-ViT, NeurIPS 2021, with a window of one frame to each side and without
    its summary token. The authors' code counts the channels through all heads, so that the first
    heads come from the next frame as wholes and the following ones from the previous
    (`across_heads`); with one head that is the same.

    Args:
        channels: C.
        heads: must divide C, and leave at least 2 channels a head.
        divisor: see above; at least one channel goes each way.
        across_heads: shift the first C / divisor channels of all heads one after the other, in
            place of d / divisor of each, as weights of the authors' code need.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Bulat et al., X-ViT, NeurIPS 2021"
    ranks: tuple[int, ...] = (3,)
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = (
        "attention each position received in its frame, as a key that is part its neighbours'"
    )

    def __init__(
        self, channels: int, *, heads: int = 8, divisor: int = 4, across_heads: bool = False
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads or channels < 2 * heads:
            raise ArgumentError(
                f"heads: expected a divisor of {channels} channels that leaves 2, got {heads}"
            )
        if divisor < 2:
            raise ArgumentError(f"divisor: expected 2 or more, got {divisor}")
        self.heads = heads
        # What is shifted as one: all heads, or each by itself.
        self.parts = 1 if across_heads else heads
        self.shifted = max(1, channels // self.parts // divisor)
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.inside = PerFrame(ReadFromContext(heads))
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        normed = self.norm(zero_padding(x, mask).movedim(1, -1))
        key_value = zero_padding(self.key_value(normed).movedim(-1, 1), mask).movedim(1, -1)
        parted = key_value.unflatten(4, (2 * self.parts, -1))
        shifted = shift_over_time(parted, self.shifted).flatten(4).movedim(-1, 1)
        query = self.query(normed).movedim(-1, 1)
        mixed = self.inside(query, mask=mask, context=shifted)
        added = self.output(mixed.movedim(1, -1)).movedim(-1, 1)
        return x + zero_padding(added, mask)


def shift_over_time(x: Tensor, count: int) -> Tensor:
    """(N, T, …, d): channels [0, count) from T + 1, [count, 2 count) from T - 1, 0 at the ends."""
    future, past, own = x.split((count, count, x.shape[-1] - 2 * count), dim=-1)
    untouched = (0, 0) * (x.ndim - 2)
    future = F.pad(future[:, 1:], (*untouched, 0, 1))
    past = F.pad(past[:, :-1], (*untouched, 1, 0))
    return torch.cat((future, past, own), dim=-1)


class ReadFromContext(nn.Module):
    """softmax(q kᵀ / √d) v between a map of queries and one of keys and values.

    Args:
        heads: must divide the channels of the queries.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.observer = Observer("affinity")

    def forward(self, x: Tensor, *, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) and context (N, 2·C, H, W) -> (N, C, H, W)."""
        query = x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
        key, value = context.flatten(2).unflatten(1, (2, self.heads, -1)).transpose(3, 4).unbind(1)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        mixed = attend(
            query,
            key,
            value,
            scale=query.shape[3] ** -0.5,
            mask=kept,
            grid=x.shape[2:],
            observer=self.observer,
        )
        return mixed.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:])
