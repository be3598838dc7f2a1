from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_mean, masked_softmax, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.attention.spatiotemporal.recurrence import lstm_step, unless_padding
from vidattn.attention.views import fold_frames, unfold_frames


class InterpretableSpaceTimePooling(Mechanism):
    """One vector from a clip: a mask for each frame, a memory over frames, weights for moments.

    m_t = σ(three convolutions of x_t) in (0, 1) at each position; h_t, c_t = ConvLSTM(m_t x_t,
    h_{t-1}, c_{t-1}); a = softmax over T of w · mean(h_t) + b; features = Σ_t a_t mean(h_t),
    means over H and W. The weight of a position is a_t m_t: not normalised in the frame, and not
    of x itself. The paper's losses keep the masks smooth and sharp and the moments of one piece.

    (N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W). Frame scores are the
    logits of a, region weights m_t over its sum.

    Source: Meng et al., Interpretable Spatio-temporal Attention, ICCV workshops 2019; the mask's
    convolutions (3 × 3, no bias, to C / 2, C / 4 and 1, batch normalisation and ReLU between them)
    as in the authors' code. The memory has C channels, theirs C / 4.

    Args:
        channels: C, at least 4.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = (
        "Meng et al., Interpretable Spatio-temporal Attention, ICCV workshops 2019"
    )
    ranks: tuple[int, ...] = (3,)
    sequential: ClassVar[bool] = True
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "weight of the frame, which sum to 1, times its mask in (0, 1)"
    weights_sum_to_one: ClassVar[bool] = False
    weighs_input: ClassVar[bool] = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = max(1, channels // 2), max(1, channels // 4)
        self.mask = nn.Sequential(
            nn.Conv2d(channels, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, quarter, 3, padding=1, bias=False),
            nn.BatchNorm2d(quarter),
            nn.ReLU(),
            nn.Conv2d(quarter, 1, 3, padding=1, bias=False),
        )
        self.memory = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)
        self.moment = nn.Linear(channels, 1)
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W)."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:])
        frame_kept = None if kept is None else kept.flatten(3).any(3).squeeze(1)
        logits = single_precision(self._region_logits(x, kept))
        region_mask = zero_padding(logits.sigmoid(), kept)

        states = self.remember(x * region_mask.to(x.dtype), kept)  # (N, T, C)
        moment_scores = single_precision(self.moment(states).squeeze(2))
        moments = masked_softmax(moment_scores, frame_kept, dim=1)
        features = (moments.to(states.dtype).unsqueeze(1) @ states).squeeze(1)

        region_mask = region_mask.squeeze(1)
        weights = moments[..., None, None] * region_mask
        tiny = torch.finfo(region_mask.dtype).tiny
        share = region_mask / region_mask.sum((2, 3), keepdim=True).clamp(min=tiny)
        scores = moment_scores[..., None, None] + share.clamp(min=tiny).log()
        self.observer(weights.unsqueeze(1), x.shape[2:])
        return Pooled(
            features, weights, lowest_at_padding(scores, None if kept is None else kept.squeeze(1))
        )

    def _region_logits(self, x: Tensor, kept: Tensor | None) -> Tensor:
        """(N, 1, T, H, W); what a norm adds at padding does not reach the next convolution."""
        frames, real = fold_frames(x), None if kept is None else fold_frames(kept)
        for layer in self.mask:
            frames = layer(frames)
            if isinstance(layer, nn.ReLU):
                frames = zero_padding(frames, real)
        return unfold_frames(frames, x.shape[2])

    def remember(self, x: Tensor, kept: Tensor | None) -> Tensor:
        """Masked x (N, C, T, H, W) and kept (N, 1, T, H, W) -> mean states (N, T, C)."""
        hidden = cell = torch.zeros_like(x[:, :, 0])
        states = []
        for step in range(x.shape[2]):
            here = None if kept is None else kept[:, :, step]
            there = None if here is None else here.flatten(1).any(1)
            gates = self.memory(torch.cat((x[:, :, step], hidden), 1))
            new_hidden, new_cell = lstm_step(gates, cell)
            hidden = unless_padding(zero_padding(new_hidden, here), hidden, there)
            cell = unless_padding(zero_padding(new_cell, here), cell, there)
            states.append(masked_mean(hidden, here))
        return torch.stack(states, 1)
