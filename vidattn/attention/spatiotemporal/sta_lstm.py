from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.attention.spatiotemporal.recurrence import StateScore, lstm_step, unless_padding


class GatedRecurrentPooling(Mechanism):
    """One vector from a clip: a memory reads the regions that matter, a gate says which moments do.

    Three memories go through the frames. α_t = softmax over positions of u · tanh(V x_{t,k} +
    U h_{t-1} + b), h that of the first, which reads mean(x_t); β_t = ReLU(w_x · mean(x_t) + w_h ·
    h'_{t-1} + b'), h' that of the second, which reads mean(x_t) too; the third reads Σ_k α_{t,k}
    x_{t,k} and shows z_t. Features are Σ_t β_t z_t, weights β_t α_{t,k}: not normalised over
    time. Frame scores are β_t before its ReLU, region weights are α_t.

    (N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W).

    Source: Song et al., STA-LSTM, AAAI 2017. Written from descriptions of the paper; no public code
    confirms this formula. Theirs weighs the K joints of a skeleton, all at once; here the positions
    of a grid take their place, all scored by the same weights, so that the grid may have any size,
    and one layer of memory stands for three.

    Args:
        channels: C, of the memories too.
        hidden_channels: width of the scoring network.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Song et al., STA-LSTM, AAAI 2017; no public code confirms it"
    ranks: tuple[int, ...] = (3,)
    sequential: ClassVar[bool] = True
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = (
        "gate of the frame, 0 or more, times share of the position in its frame"
    )
    weights_sum_to_one: ClassVar[bool] = False
    weighs_input: ClassVar[bool] = False

    def __init__(self, channels: int, *, hidden_channels: int = 128) -> None:
        super().__init__()
        self.region = StateScore(channels, hidden_channels)
        self.moment = nn.Linear(2 * channels, 1)
        self.region_memory = nn.Linear(2 * channels, 4 * channels)
        self.moment_memory = nn.Linear(2 * channels, 4 * channels)
        self.main_memory = nn.Linear(2 * channels, 4 * channels)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W)."""
        self.check_rank(x)
        batch, channels = x.shape[:2]
        items = zero_padding(x, mask).movedim(1, -1).flatten(2, 3)  # (N, T, H·W, C)
        kept = None if mask is None else mask.expand(batch, 1, *x.shape[2:]).flatten(3).squeeze(1)
        count = items.shape[2] if kept is None else kept.sum(2).clamp(min=1).unsqueeze(2)
        summaries = items.sum(2) / count
        projected = self.region.item(items)

        start = x.new_zeros(batch, channels)
        region = moment = main = (start, start)
        features, weights, scores = start, [], []
        for step in range(x.shape[2]):
            here = None if kept is None else kept[:, step]
            there = None if here is None else here.any(1)
            logits = self.region(projected[:, step], region[0])
            shares = masked_softmax(logits, here, dim=1)
            summary = summaries[:, step]
            opening = self.moment(torch.cat((summary, moment[0]), 1))
            gate = unless_padding(opening.relu(), torch.zeros_like(opening), there)
            read = (shares.to(items.dtype).unsqueeze(1) @ items[:, step]).squeeze(1)
            region = advance(self.region_memory, summary, region, there)
            moment = advance(self.moment_memory, summary, moment, there)
            main = advance(self.main_memory, read, main, there)
            features = features + gate.to(read.dtype) * main[0]
            weights.append(gate * shares)
            tiny = torch.finfo(shares.dtype).tiny
            scores.append(opening + shares.clamp(min=tiny).log())
        shape = (batch, *x.shape[2:])
        joint = torch.stack(weights, 1).reshape(shape)
        self.observer(joint.unsqueeze(1), x.shape[2:])
        together = torch.stack(scores, 1).reshape(shape)
        return Pooled(
            features,
            joint,
            lowest_at_padding(together, None if kept is None else kept.reshape(shape)),
        )


def advance(
    memory: nn.Module, read: Tensor, state: tuple[Tensor, Tensor], there: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One step of a memory from state (h, c), which stays where `there` (N,) is false."""
    hidden, cell = lstm_step(memory(torch.cat((read, state[0]), 1)), state[1])
    return unless_padding(hidden, state[0], there), unless_padding(cell, state[1], there)
