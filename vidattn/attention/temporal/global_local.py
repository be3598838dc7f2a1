from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.affinity import attend
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.temporal.frames import unless_padding
from vidattn.errors import ArgumentError


class GlobalLocalTemporal(Mechanism):
    """Frames first read near ones at several distances, then all others by self-attention.

    Local: b = W x with few channels, p = [b; K₁ ∗ b; K₂ ∗ b; …], K three frames wide, with growing
    dilation. Global: y = p + BN(W_z [softmax(θ(p)ᵀ φ(p)) g(p)]), θ, φ, g linear with half as many
    channels and no scale; BN starts at 0, so that a new one gives p. There is no residual around
    the whole. The authors then take the mean over time.

    x is (N, C, T).

    Source: Li et al., ICCV 2019 (GLTR), written from a description of the
    authors' code (128 channels become 512). W, which makes y as wide as x, is ours: it stands for
    the layer that narrows their frame features. The paper's dilations double, their code's are
    1, 2, 3.

    Args:
        channels: C; must be a multiple of 1 + the number of dilations.
        dilations: of K₁, K₂, ….
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "temporal"
    source: ClassVar[str] = "Li et al., ICCV 2019 (GLTR)"
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = "attention each frame received, mean over queries; sums to 1"
    ranks: tuple[int, ...] = (1,)

    def __init__(self, channels: int, *, dilations: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        parts = 1 + len(dilations)
        if not dilations or min(dilations) < 1 or channels % parts:
            raise ArgumentError(
                f"dilations: expected numbers from 1, one fewer than a divisor of {channels} "
                f"channels, got {tuple(dilations)}"
            )
        narrow, half = channels // parts, max(1, channels // 2)
        self.narrow = nn.Conv1d(channels, narrow, 1)
        self.pyramid = nn.ModuleList(
            nn.Conv1d(narrow, narrow, 3, padding=dilation, dilation=dilation)
            for dilation in dilations
        )
        self.query = nn.Linear(channels, half)
        self.key = nn.Linear(channels, half)
        self.value = nn.Linear(channels, half)
        self.output = nn.Conv1d(half, channels, 1)
        self.norm = nn.BatchNorm1d(channels)
        nn.init.zeros_(self.norm.weight)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, T) -> the same shape."""
        self.check_rank(x)
        narrow = zero_padding(self.narrow(zero_padding(x, mask)), mask)
        near = torch.cat([narrow, *(layer(narrow) for layer in self.pyramid)], 1)
        return unless_padding(near + self._from_all(near, mask), x, mask)

    def _from_all(self, near: Tensor, mask: Tensor | None) -> Tensor:
        """(N, C, T) -> (N, C, T), what is added to it."""
        tokens = near.transpose(1, 2)
        query, key, value = (
            embed(tokens).unsqueeze(1) for embed in (self.query, self.key, self.value)
        )
        kept = None if mask is None else mask.expand(near.shape[0], 1, near.shape[2]).squeeze(1)
        mixed = attend(
            query, key, value, scale=1.0, mask=kept, grid=near.shape[2:], observer=self.observer
        )
        added: Tensor = self.norm(self.output(mixed.squeeze(1).transpose(1, 2)))
        return added
