from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.attention.spatiotemporal.recurrence import (
    StateScore,
    lstm_step,
    unless_padding,
    weighted_mean,
)


class RecurrentSpaceTimePooling(Mechanism):
    """One vector from a clip, looked at as a whole T times, each time by what was seen before.

    At each step, from the memory's h: α_{n,k} = softmax over the positions of every frame n of
    u · tanh(V x_{n,k} + U h + b), v_n = Σ_k α_{n,k} x_{n,k}; β_n = softmax over frames of the
    same form on v_n; the memory reads Σ_n β_n v_n. Features are the mean of h over the steps,
    weights β_n α_{n,k}, the mean over the steps. There are as many steps as real frames. The
    scores are log weights. Time grows with T² H W.

    (N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W).

    Source: Du, Wang, Qiao, Recurrent Spatial-Temporal Attention Network, TIP 2018. Written from
    descriptions of the paper; no public code confirms this formula. Its regularisation by
    actors belongs to the loss.

    Args:
        channels: C, of the memory too.
        hidden_channels: width of both scoring networks.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Du, Wang, Qiao, TIP 2018; no public code confirms this formula"
    ranks: tuple[int, ...] = (3,)
    sequential: ClassVar[bool] = True
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = (
        "weight of the frame times weight of the position in it, mean over steps; sums to 1"
    )
    weighs_input: ClassVar[bool] = False

    def __init__(self, channels: int, *, hidden_channels: int = 128) -> None:
        super().__init__()
        self.region = StateScore(channels, hidden_channels)
        self.moment = StateScore(channels, hidden_channels)
        self.memory = nn.Linear(2 * channels, 4 * channels)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W)."""
        self.check_rank(x)
        batch, channels, frames = x.shape[:3]
        items = zero_padding(x, mask).movedim(1, -1).flatten(2, 3)  # (N, T, H·W, C)
        kept = None if mask is None else mask.expand(batch, 1, *x.shape[2:]).flatten(3).squeeze(1)
        frame_kept = None if kept is None else kept.any(2)
        projected = self.region.item(items)

        hidden = cell = x.new_zeros(batch, channels)
        features = torch.zeros_like(hidden)
        weights = single_precision(items).new_zeros(items.shape[:3])
        for step in range(frames):
            there = None if frame_kept is None else frame_kept[:, step]
            seen, looked = self.look(items, projected, hidden, kept)
            new_hidden, new_cell = lstm_step(self.memory(torch.cat((seen, hidden), 1)), cell)
            hidden = unless_padding(new_hidden, hidden, there)
            cell = unless_padding(new_cell, cell, there)
            features = features + unless_padding(hidden, torch.zeros_like(hidden), there)
            weights = weights + unless_padding(looked, torch.zeros_like(looked), there)
        count = frames if frame_kept is None else frame_kept.sum(1).clamp(min=1)[:, None]
        features = features / count
        weights = (weights.flatten(1) / count).reshape(batch, *x.shape[2:])
        scores = weights.clamp(min=torch.finfo(weights.dtype).tiny).log()
        self.observer(weights.unsqueeze(1), x.shape[2:])
        return Pooled(
            features,
            weights,
            lowest_at_padding(scores, None if kept is None else kept.reshape(scores.shape)),
        )

    def look(
        self, items: Tensor, projected: Tensor, hidden: Tensor, kept: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What one step reads, (N, C), and its joint weights, (N, T, H·W)."""
        moments, regions = weighted_mean(items, self.region(projected, hidden), kept)
        frame_kept = None if kept is None else kept.any(2)
        scores = self.moment(self.moment.item(moments), hidden)
        seen, shares = weighted_mean(moments, scores, frame_kept)
        return seen, shares.unsqueeze(2) * regions
