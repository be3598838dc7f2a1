from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.affinity import attend
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.views import OverTime, PerFrame
from vidattn.errors import ArgumentError


class FactorisedDotProduct(Mechanism):
    """Half of the heads read within the frame, the other half over time at the same site.

    y = x + W_o [Y_s, Y_t] + b_o, Y_s = softmax(q kᵀ / √d) v among the positions of a frame for
    the first half of the heads, Y_t the same among the moments of a site for the other half;
    q, k, v are linear in LayerNorm(x), d = C / heads. L·(T + H·W) / 2 pairs in place of L².

    Source: Arnab et al., ViViT, ICCV 2021, section 3.3, model 4; normalised first, as there.

    Args:
        channels: C.
        heads: an even divisor of C.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Arnab et al., ViViT, ICCV 2021, section 3.3, model 4"
    ranks: tuple[int, ...] = (3,)
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = (
        "two maps: attention each position received in its frame by half of the heads, and each "
        "moment at its site by the others"
    )

    def __init__(self, channels: int, *, heads: int = 8) -> None:
        super().__init__()
        if heads < 2 or heads % 2 or channels % heads:
            raise ArgumentError(
                f"heads: expected an even divisor of {channels} channels, got {heads}"
            )
        self.norm = nn.LayerNorm(channels)
        self.spatial = PerFrame(HeadGroup(channels, channels // 2, heads=heads // 2))
        self.temporal = OverTime(HeadGroup(channels, channels // 2, heads=heads // 2))
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        self.check_rank(x)
        normed = self.norm(zero_padding(x, mask).movedim(1, -1)).movedim(-1, 1)
        mixed = torch.cat((self.spatial(normed, mask=mask), self.temporal(normed, mask=mask)), 1)
        added = self.output(mixed.movedim(1, -1)).movedim(-1, 1)
        return x + zero_padding(added, mask)


class HeadGroup(nn.Module):
    """Some heads of an attention, before the output projection that they share with others.

    Args:
        channels: C of what they read.
        hidden_channels: C' of what they return.
        heads: how many; must divide C'.
    """

    def __init__(self, channels: int, hidden_channels: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (hidden_channels // heads) ** -0.5
        self.query_key_value = nn.Linear(channels, 3 * hidden_channels)
        self.observer = Observer("affinity")

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """(N, C, *positions) -> (N, C', *positions)."""
        projected = self.query_key_value(x.flatten(2).transpose(1, 2))
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        mixed = attend(
            query,
            key,
            value,
            scale=self.scale,
            mask=kept,
            grid=x.shape[2:],
            observer=self.observer,
        )
        return mixed.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:])
