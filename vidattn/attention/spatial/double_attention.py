from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.mechanism import Mixer


class DoubleAttention(Mixer):
    """All positions are gathered into a few descriptors, and every position picks from those.

    y = x + W_z [G V] + b_z, G = A Bᵀ, with A linear in x (C / 4 wide), B a softmax over the
    positions and V a softmax over the descriptors, both of linear maps of x to C / 4
    descriptors. Linear in the number of positions.

    Its map is of both attentions together: position i reads from j with weight Σ_m V_mi B_mj.

    Source: Chen et al., A²-Nets, NeurIPS 2018.

    Args:
        channels: C.
        hidden_channels: of A; None for C / 4, rounded down, at least 1.
        descriptors: columns of G; None for C / 4 likewise.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Chen et al., A²-Nets, NeurIPS 2018"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self, channels: int, *, hidden_channels: int | None = None, descriptors: int | None = None
    ) -> None:
        super().__init__()
        hidden = hidden_channels or max(1, channels // 4)
        descriptors = descriptors or max(1, channels // 4)
        self.value = nn.Linear(channels, hidden)
        self.gather = nn.Linear(channels, descriptors)
        self.distribute = nn.Linear(channels, descriptors)
        self.output = nn.Linear(hidden, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        kept = None if mask is None else mask.unsqueeze(2)
        gather = masked_softmax(self.gather(tokens), kept, dim=1)
        distribute = single_precision(self.distribute(tokens)).softmax(2)
        if self.observer.recording:
            self._show(gather, distribute, kept, grid)
        value = self.value(tokens)
        descriptors = gather.to(value.dtype).transpose(1, 2) @ value
        return self.output(distribute.to(value.dtype) @ descriptors)

    @torch.no_grad()
    def _show(
        self, gather: Tensor, distribute: Tensor, kept: Tensor | None, grid: tuple[int, ...]
    ) -> None:
        """Hand the observer B averaged over the descriptors as the real queries picked them."""
        real = torch.ones_like(distribute[..., :1]) if kept is None else kept.to(distribute)
        picked = (distribute * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
        received = (gather * picked).sum(2).unflatten(1, grid)
        whole = None
        if self.observer.wants_affinity:
            whole = (distribute @ gather.transpose(1, 2)).unsqueeze(1)
        self.observer(received.unsqueeze(1), grid, affinity=whole)
