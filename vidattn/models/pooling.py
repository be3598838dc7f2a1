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
        weights = _uniform(valid)
        features = (x.mean((3, 4)) * weights.unsqueeze(1)).sum(2)
        return Evidence(features, torch.zeros_like(weights), weights, _uniform_regions(x))


class TemporalPooling(nn.Module):
    """Attention over time of features averaged within each frame; regions weigh the same."""

    def __init__(self, channels: int, *, hidden: int = 64, gated: bool = True) -> None:
        super().__init__()
        self.time = attention.build(
            "temporal_pooling", channels, spatial_dims=1, hidden=hidden, gated=gated
        )

    def forward(self, x: Tensor, valid: Tensor) -> Evidence:
        """x (N, C, T', H', W'), valid bool (N, T')."""
        pooled = self.time(x.mean((3, 4)), mask=valid.unsqueeze(1))
        return Evidence(pooled.features, pooled.scores, pooled.weights, _uniform_regions(x))


class FactorisedPooling(nn.Module):
    """Attention within each frame, then attention over time."""

    def __init__(self, channels: int, *, hidden: int = 64, gated: bool = True) -> None:
        super().__init__()
        self.space = attention.build(
            "spatial_pooling", channels, spatial_dims=2, hidden=hidden, gated=gated
        )
        self.time = attention.build(
            "temporal_pooling", channels, spatial_dims=1, hidden=hidden, gated=gated
        )

    def forward(self, x: Tensor, valid: Tensor) -> Evidence:
        """x (N, C, T', H', W'), valid bool (N, T')."""
        count, steps = x.shape[0], x.shape[2]
        frames = self.space(x.transpose(1, 2).reshape(count * steps, x.shape[1], *x.shape[3:]))
        pooled = self.time(
            frames.features.reshape(count, steps, -1).transpose(1, 2), mask=valid.unsqueeze(1)
        )
        regions = frames.weights.reshape(count, steps, *x.shape[3:])
        return Evidence(pooled.features, pooled.scores, pooled.weights, regions)


class JointPooling(nn.Module):
    """One softmax over all positions in time and space.

    A frame's score is the log-sum-exp of its positions' scores, its weight the sum of theirs.
    """

    def __init__(self, channels: int, *, hidden: int = 64, gated: bool = True) -> None:
        super().__init__()
        self.positions = attention.build(
            "joint_pooling", channels, spatial_dims=3, hidden=hidden, gated=gated
        )

    def forward(self, x: Tensor, valid: Tensor) -> Evidence:
        """x (N, C, T', H', W'), valid bool (N, T')."""
        pooled = self.positions(x, mask=valid[:, None, :, None, None])
        scores = pooled.scores.flatten(2)
        return Evidence(
            pooled.features,
            scores.logsumexp(2),
            pooled.weights.sum((2, 3)),
            scores.softmax(2).reshape(pooled.scores.shape),
        )


POOLINGS: dict[str, Callable[..., nn.Module]] = {
    "average": AveragePooling,
    "temporal": TemporalPooling,
    "factorised": FactorisedPooling,
    "joint": JointPooling,
}


def _uniform(valid: Tensor) -> Tensor:
    """Equal weights on the valid steps; zeros where there is none."""
    return valid / valid.sum(1, keepdim=True).clamp(min=1)


def _uniform_regions(x: Tensor) -> Tensor:
    count, _, steps, rows, columns = x.shape
    return x.new_full((count, steps, rows, columns), 1.0 / (rows * columns), dtype=torch.float32)
