from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.head_average import average_heads
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.attention.spatiotemporal.encoder_block import EncoderBlock


class FactorisedEncoder(Mechanism):
    """One vector from a clip: a transformer sums up each frame, another one sums up the frames.

    In each frame a class token is put before the positions and read out after the spatial
    layers and a LayerNorm; the T results, with a class token of their own before them, go
    through the temporal layers. No positions are encoded: they belong to the input. The weight
    of a position is what its frame's class token gave it in the last spatial layer, times what
    the clip's class token gave the frame in the last temporal one; means over heads, without
    what the tokens kept for themselves. The features are more than a weighted mean of x.

    (N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W).

    Source: Arnab et al., ViViT, ICCV 2021, section 3.3, model 2.

    Args:
        channels: C.
        heads: of all layers; must divide C.
        spatial_depth: number of layers within frames.
        temporal_depth: number of layers over frames.
        hidden_channels: of their MLPs; None for 4 C.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatiotemporal"
    source: ClassVar[str] = "Arnab et al., ViViT, ICCV 2021, section 3.3, model 2"
    ranks: tuple[int, ...] = (3,)
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = (
        "attention of the clip's class token to the frame times that of the frame's to the "
        "position, mean over heads; sums to 1"
    )
    weighs_input: ClassVar[bool] = False

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 8,
        spatial_depth: int = 1,
        temporal_depth: int = 1,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        hidden = 4 * channels if hidden_channels is None else hidden_channels
        self.spatial = ClassTokenEncoder(
            channels, heads=heads, depth=spatial_depth, hidden_channels=hidden
        )
        self.temporal = ClassTokenEncoder(
            channels, heads=heads, depth=temporal_depth, hidden_channels=hidden
        )
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Pooled:
        """(N, C, T, H, W) -> features (N, C), weights and scores (N, T, H, W)."""
        self.check_rank(x)
        batch, _, frames = x.shape[:3]
        kept = None if mask is None else mask.expand(batch, 1, *x.shape[2:]).squeeze(1)
        # (N, C, T, H, W) -> (N·T, H·W, C)
        positions = zero_padding(x, mask).movedim(1, -1).flatten(2, 3).flatten(0, 1)
        position_mask = None if kept is None else kept.flatten(2).flatten(0, 1)
        frame_mask = None if kept is None else kept.flatten(2).any(2)

        summaries, regions, region_scores = self.spatial(positions, position_mask)
        features, moments, moment_scores = self.temporal(
            summaries.unflatten(0, (batch, frames)), frame_mask
        )
        shape = (batch, frames, *x.shape[3:])
        weights = moments[..., None, None] * regions.reshape(shape)
        scores = moment_scores[..., None, None] + region_scores.log_softmax(1).reshape(shape)
        if frame_mask is not None:
            features = features.masked_fill(~frame_mask.any(1, keepdim=True), 0)
        self.observer(weights.unsqueeze(1), x.shape[2:])
        return Pooled(features, weights, lowest_at_padding(scores, kept))


class ClassTokenEncoder(nn.Module):
    """Transformer layers over a sequence with a class token before it.

    Args:
        channels: C.
        heads: must divide C.
        depth: number of layers, at least 1.
        hidden_channels: of their MLPs.
    """

    def __init__(self, channels: int, *, heads: int, depth: int, hidden_channels: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(channels))
        nn.init.trunc_normal_(self.token, std=0.02)
        self.first = EncoderBlock(channels, heads=heads, hidden_channels=hidden_channels)
        self.others = nn.ModuleList(
            EncoderBlock(channels, heads=heads, hidden_channels=hidden_channels)
            for _ in range(depth - 1)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(N, L, C) and mask (N, L) -> class token (N, C), its weights and scores (N, L)."""
        tokens = torch.cat((self.token.expand(tokens.shape[0], 1, -1), tokens), 1)
        kept = None if mask is None else F.pad(mask, (1, 0), value=True)
        tokens, logits = self.first(tokens, kept)
        for block in self.others:
            tokens, logits = block(tokens, kept)
        weights, scores = average_heads(logits[:, :, 1:], mask)
        return self.norm(tokens[:, 0]), weights, scores
