from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from vidattn.attention.masking import masked_max, masked_mean, zero_padding
from vidattn.attention.mechanism import Reduced
from vidattn.attention.observe import MapKind
from vidattn.attention.token.local_global_score import LocalGlobalScore
from vidattn.attention.token.perturbed_top_k import (
    Gradient,
    check_gradient,
    normal_noise,
    perturbed_top_k,
)
from vidattn.attention.token.selection import Reducer, best_positions, one_hot
from vidattn.errors import ArgumentError

Noise = tuple[Tensor | None, Tensor | None]


class SpaceTimeSelection(Reducer):
    """The best frames of a clip, and of each of them the best square region.

    A frame's score comes from its mean and maximum over H, W; a region's is the mean of the
    scores of its positions. Scores are brought to [0, 1], s ← (s − min) / (max − min + 10⁻⁵),
    and chosen from by `perturbed_top_k` in training, by the top K in evaluation. Candidates for
    regions lie max(1, (H − size) // 2) apart. In training the regions are looked for in the mixed
    frames that the first choice gives.

    (N, C, T, H, W) -> frames · region_size² tokens, in the order of frame, row, column. Of an
    image there is one frame, of a sequence (N, C, T) one position a frame. Tokens of a region
    that lie on padding, or outside of an image that is smaller, are missing.

    Source: Wang et al., STTS, ECCV 2022, both choices at once; in the paper transformer blocks may
    lie between them. Their code keeps the diagonal of the choices' gradient; see `PerturbedTopK`.

    Args:
        channels: C.
        spatial_dims: number of position axes: 1 (frames only), 2 (a region only) or 3.
        frames: how many frames.
        region_size: side of the region.
        samples: draws of noise a training step.
        sigma: of the noise. An attribute, to be lowered while training.
        gradient: of both choices: "full", or "diagonal" for that of the authors' code.
    """

    source: ClassVar[str] = "Wang et al., STTS, ECCV 2022"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = "one choice a token: 1 at the position that it took"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        frames: int = 4,
        region_size: int = 3,
        samples: int = 500,
        sigma: float = 0.05,
        gradient: Gradient = "full",
    ) -> None:
        self.chosen_frames = 1 if spatial_dims == 2 else frames
        self.region_size = 1 if spatial_dims == 1 else region_size
        if min(frames, region_size) < 1:
            raise ArgumentError(
                f"frames, region_size: expected at least 1, got {frames}, {region_size}"
            )
        check_gradient(gradient)
        super().__init__(self.chosen_frames * self.region_size**2)
        self.ranks = (spatial_dims,)
        self.samples = samples
        self.sigma = sigma
        self.gradient: Gradient = gradient
        self.frame_score = None if spatial_dims == 2 else LocalGlobalScore(2 * channels)
        self.region_score = None if spatial_dims == 1 else LocalGlobalScore(channels)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        context: Any = None,
        noise: Noise = (None, None),
    ) -> Reduced:
        """(N, C, *positions) -> frames · region_size² tokens.

        Args:
            x, mask, context: see `Mechanism.forward`.
            noise: for training, standard normal, (N, samples, T) for the frames and
                (N · frames, samples, candidates) for the regions; drawn where it is None.
        """
        self.check_rank(x)
        x = zero_padding(x, mask)
        clip, real = _as_clip(x), _real_positions(x, mask)
        frames = self._frames(clip, real, noise[0])
        regions = self._regions(clip, real, frames, noise[1])
        # (N, F, 1, T, 1) · (N, F, a², 1, H·W) -> (N, K, T·H·W)
        source = frames[:, :, None, :, None] * regions[:, :, :, None]
        source = source.flatten(1, 2).flatten(2).masked_fill(~real.flatten(1).unsqueeze(1), 0)
        return self.reduced(x, source, source.detach().sum(2) > 0)

    def _frames(self, clip: Tensor, real: Tensor, noise: Tensor | None) -> Tensor:
        """How much of each frame is in each chosen one: (N, F, T)."""
        kept = real.flatten(2).any(2)
        if self.frame_score is None:
            return kept.unsqueeze(1).to(clip.dtype)
        batch = clip.shape[0]
        folded = clip.transpose(1, 2).flatten(0, 1), real.flatten(0, 1).unsqueeze(1)
        pooled = torch.cat([masked_mean(*folded), masked_max(*folded)], dim=1)
        scores = self.frame_score(pooled.unflatten(0, (batch, -1)), kept).squeeze(2)
        return self._choice(scores, self.chosen_frames, kept, noise)

    def _regions(self, clip: Tensor, real: Tensor, frames: Tensor, noise: Tensor | None) -> Tensor:
        """How much of each position is in each of a chosen frame's tokens: (N, F, a², H·W)."""
        batch, size = clip.shape[0], self.region_size
        height, width = clip.shape[3:]
        if self.region_score is None:
            return frames.new_ones(batch, frames.shape[1], 1, 1)
        images = (frames.to(clip.dtype) @ clip.transpose(1, 2).flatten(2)).flatten(0, 1)
        tokens = images.unflatten(1, (-1, height * width)).transpose(1, 2)
        seen = (frames > 0).to(clip.dtype) @ real.flatten(2).to(clip.dtype) > 0
        seen = seen.flatten(0, 1)
        scores = self.region_score(tokens, seen).squeeze(2)
        places = _candidates(height, width, size, clip.device)
        rows = self._choice(*_mean_inside(scores, seen, places), noise)
        table = one_hot(places, height * width).to(rows.dtype)
        return (rows.squeeze(1) @ table.flatten(1)).reshape(batch, -1, *table.shape[1:])

    def _choice(self, scores: Tensor, count: int, kept: Tensor, noise: Tensor | None) -> Tensor:
        """(B, L) -> (B, count, L)."""
        scores = _to_unit_range(scores, kept)
        if not self.training:
            return one_hot(best_positions(scores, count, kept), scores.shape[1]).to(scores.dtype)
        noise = normal_noise(scores, self.samples) if noise is None else noise
        return perturbed_top_k(
            scores, count, kept, noise=noise, sigma=self.sigma, gradient=self.gradient
        )


def _as_clip(x: Tensor) -> Tensor:
    """(N, C, *positions) -> (N, C, T, H, W)."""
    if x.ndim == 3:
        return x[..., None, None]
    return x.unsqueeze(2) if x.ndim == 4 else x


def _real_positions(x: Tensor, mask: Tensor | None) -> Tensor:
    """bool (N, T, H, W)."""
    if mask is None:
        mask = torch.ones((), dtype=torch.bool, device=x.device)
    return _as_clip(mask.expand(x.shape[0], 1, *x.shape[2:])).squeeze(1)


def _to_unit_range(scores: Tensor, kept: Tensor) -> Tensor:
    limit = torch.finfo(scores.dtype).max
    lowest = scores.masked_fill(~kept, limit).amin(1, keepdim=True)
    highest = scores.masked_fill(~kept, -limit).amax(1, keepdim=True)
    # Where all is padding lowest and highest are not meant; nothing is chosen there.
    scaled = (scores - lowest) / (highest - lowest + 1e-5)
    return scaled.masked_fill(~kept, 0)


def _candidates(height: int, width: int, size: int, device: torch.device) -> Tensor:
    """(A, size²): the positions inside each candidate region; height · width: outside the image."""
    inside = torch.arange(size, device=device)
    rows, columns = (
        torch.arange(0, max(0, length - size) + 1, max(1, (length - size) // 2), device=device)
        for length in (height, width)
    )
    row = (rows[:, None] + inside)[:, None, :, None]
    column = (columns[:, None] + inside)[None, :, None, :]
    places = torch.where((row < height) & (column < width), row * width + column, height * width)
    return places.flatten(2).flatten(0, 1)


def _mean_inside(scores: Tensor, seen: Tensor, places: Tensor) -> tuple[Tensor, int, Tensor]:
    """(B, H·W) -> the mean of each region's real positions (B, A), 1, and which have any (B, A)."""
    # One position more, which is never real: outside.
    scores, seen = (torch.cat([part, torch.zeros_like(part[:, :1])], 1) for part in (scores, seen))
    real = seen[:, places]
    total = scores[:, places].masked_fill(~real, 0).sum(2)
    return total / real.sum(2).clamp(min=1), 1, real.any(2)
