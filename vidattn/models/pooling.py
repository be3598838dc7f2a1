from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidattn import attention


class Evidence(NamedTuple):
    """What a pooling hands to the head, and where it came from.

    Attributes:
        features: (N, C).
        frame_scores: (N, T'), unnormalised: comparable between windows of a long video.
        frame_weights: (N, T'), summing to 1 over time.
        region_weights: (N, T', H', W'), summing to 1 within each frame.
    """

    features: Tensor
    frame_scores: Tensor
    frame_weights: Tensor
    region_weights: Tensor


class AveragePooling(nn.Module):
    """The mean over time and space: the control that attention has to beat.

    All valid frames and all regions weigh the same, and every frame score is 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, valid: Tensor) -> Evidence:
        """x (N, C, T', H', W'), valid bool (N, T')."""
        weights = valid / valid.sum(1, keepdim=True).clamp(min=1)
        features = (x.mean((3, 4)) * weights.unsqueeze(1).to(x.dtype)).sum(2)
        return Evidence(features, torch.zeros_like(weights), weights, _uniform_regions(x))


class TemporalPooling(nn.Module):
    """Attention over time on features averaged within each frame; regions weigh the same."""

    def __init__(self, channels: int, *, hidden_channels: int = 64, gated: bool = True) -> None:
        super().__init__()
        self.time = attention.build(
            "temporal_attention_pooling",
            channels,
            spatial_dims=1,
            hidden_channels=hidden_channels,
            gated=gated,
        )

    def forward(self, x: Tensor, valid: Tensor) -> Evidence:
        """x (N, C, T', H', W'), valid bool (N, T')."""
        pooled = self.time(x.mean((3, 4)), mask=valid.unsqueeze(1))
        return Evidence(pooled.features, pooled.scores, pooled.weights, _uniform_regions(x))


class SpatiotemporalPooling(nn.Module):
    """Attention over time and space, by a pooler that returns weights (N, T', H', W')."""

    def __init__(
        self, mechanism: str, channels: int, *, hidden_channels: int = 64, gated: bool = True
    ) -> None:
        super().__init__()
        self.positions = attention.build(
            mechanism, channels, hidden_channels=hidden_channels, gated=gated
        )

    def forward(self, x: Tensor, valid: Tensor) -> Evidence:
        """x (N, C, T', H', W'), valid bool (N, T')."""
        pooled = self.positions(x, mask=valid[:, None, :, None, None])
        return Evidence(
            pooled.features, pooled.frame_scores, pooled.frame_weights, pooled.region_weights
        )


class JointPooling(SpatiotemporalPooling):
    """One softmax over all positions; see `JointAttentionPooling`."""

    def __init__(self, channels: int, *, hidden_channels: int = 64, gated: bool = True) -> None:
        super().__init__(
            "joint_attention_pooling", channels, hidden_channels=hidden_channels, gated=gated
        )


class FactorisedPooling(SpatiotemporalPooling):
    """Regions within each frame, then frames; see `FactorisedAttentionPooling`."""

    def __init__(self, channels: int, *, hidden_channels: int = 64, gated: bool = True) -> None:
        super().__init__(
            "factorised_attention_pooling", channels, hidden_channels=hidden_channels, gated=gated
        )


POOLINGS: dict[str, Callable[..., nn.Module]] = {
    "average": AveragePooling,
    "temporal": TemporalPooling,
    "factorised": FactorisedPooling,
    "joint": JointPooling,
}


def _uniform_regions(x: Tensor) -> Tensor:
    count, _, steps, rows, columns = x.shape
    return x.new_full((count, steps, rows, columns), 1.0 / (rows * columns), dtype=torch.float32)
