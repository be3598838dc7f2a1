from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from vidattn.data.spec import ClipSpec
from vidattn.errors import ArgumentError
from vidattn.video.clip import Geometry


class EvaluationTransform(nn.Module):
    """uint8 clips -> normalised floats, on the device.

    Args:
        clip: its `mean` and `std` are used.
        dtype: of the result.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, clip: ClipSpec, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        mean, std = torch.tensor([clip.mean, clip.std], dtype=torch.float64)
        # (value / 255 − mean) / std as one product and one sum.
        scale, offset = 1 / (255 * std), -mean / std
        self.register_buffer("scale", scale.float().view(3, 1, 1, 1), persistent=False)
        self.register_buffer("offset", offset.float().view(3, 1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (N, 3, T, H, W) -> (N, 3, T, H, W) of `dtype`, `channels_last_3d`."""
        _check_pixels(pixels)
        normalised = pixels.float().mul_(self.scale).add_(self.offset)
        return normalised.to(self.dtype).contiguous(memory_format=torch.channels_last_3d)


class DrawnAugmentation(NamedTuple):
    """What a random transform does to each clip of a batch, all frames of a clip alike.

    Attributes:
        boxes: int64 (N, 4), crops as top, left, height, width.
        flips: bool (N,).
        colours: float32 (N, 3), factors of brightness, contrast and saturation.
    """

    boxes: Tensor
    flips: Tensor
    colours: Tensor

    def apply_to(self, geometry: Sequence[Geometry], crop_size: int) -> list[Geometry]:
        """Where the transformed clips lie in their sources."""
        moved = []
        for before, box, flip in zip(
            geometry, self.boxes.tolist(), self.flips.tolist(), strict=True
        ):
            after = before.cropped(*box).resized((crop_size, crop_size))
            moved.append(after.flipped_horizontally() if flip else after)
        return moved


class TrainTransform(nn.Module):
    """Random resized crop, flip and colour of uint8 clips, then normalisation, on the device.

    Each clip is changed in its own way, all its frames alike.

    Args:
        clip: its `crop_size`, `mean` and `std` are used.
        crop_scale: smallest and largest share of the area that a crop has.
        crop_ratio: smallest and largest width / height of a crop; log-uniform between.
        flip: mirror half of the clips left to right; off where classes differ by direction.
        colour_jitter: brightness, contrast and saturation change by factors within
            [1 − colour_jitter, 1 + colour_jitter]; 0 is off.
        dtype: of the result.
        generator: CPU generator of all random choices; by default torch's global one.

    Source: random resized crop: Szegedy et al., Going Deeper with Convolutions, CVPR 2015.
    """

    def __init__(
        self,
        clip: ClipSpec,
        *,
        crop_scale: tuple[float, float] = (0.5, 1.0),
        crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: bool = True,
        colour_jitter: float = 0.0,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 < crop_scale[0] <= crop_scale[1] <= 1:
            raise ArgumentError(f"crop_scale: expected 0 < low ≤ high ≤ 1, got {crop_scale}")
        if not 0 < crop_ratio[0] <= crop_ratio[1]:
            raise ArgumentError(f"crop_ratio: expected 0 < low ≤ high, got {crop_ratio}")
        if not 0 <= colour_jitter < 1:
            raise ArgumentError(f"colour_jitter: expected 0 ≤ value < 1, got {colour_jitter}")
        self.crop_size = clip.crop_size
        self.crop_scale = crop_scale
        self.crop_ratio = crop_ratio
        self.flip = flip
        self.colour_jitter = colour_jitter
        self.generator = generator
        self.normalise = EvaluationTransform(clip, dtype=dtype)

    def draw(self, count: int, size: tuple[int, int]) -> DrawnAugmentation:
        """Random choices for `count` clips of (height, width) `size`."""
        height, width = size
        uniform = torch.rand(count, 8, generator=self.generator, dtype=torch.float64)
        low, high = self.crop_scale
        area = (low + (high - low) * uniform[:, 0]) * height * width
        low, high = (math.log(value) for value in self.crop_ratio)
        ratio = torch.exp(low + (high - low) * uniform[:, 1])
        # A box too long for the frame is cut off at its edge: no second try, so that the number
        # of random values does not depend on them.
        tall = (area / ratio).sqrt().round().clamp(1, height)
        wide = (area * ratio).sqrt().round().clamp(1, width)
        top = (uniform[:, 2] * (height - tall + 1)).floor()
        left = (uniform[:, 3] * (width - wide + 1)).floor()
        boxes = torch.stack([top, left, tall, wide], 1).long()
        flips = (uniform[:, 4] < 0.5) & self.flip
        colours = 1 + self.colour_jitter * (2 * uniform[:, 5:] - 1)
        return DrawnAugmentation(boxes, flips, colours.float())

    def forward(self, pixels: Tensor, augmentation: DrawnAugmentation | None = None) -> Tensor:
        """uint8 (N, 3, T, H, W) -> (N, 3, T, crop_size, crop_size), `channels_last_3d`.

        Args:
            pixels: clips of one size.
            augmentation: what `draw` gave, by default drawn now.
        """
        _check_pixels(pixels)
        drawn = augmentation or self.draw(len(pixels), (pixels.shape[3], pixels.shape[4]))
        clips = [
            self._change(clip.transpose(0, 1), box, flip, colours).permute(0, 2, 3, 1)
            for clip, box, flip, colours in zip(
                pixels,
                drawn.boxes.tolist(),
                drawn.flips.tolist(),
                drawn.colours.tolist(),
                strict=True,
            )
        ]
        stacked: Tensor = self.normalise(torch.stack(clips).permute(0, 4, 1, 2, 3))
        return stacked

    def _change(
        self, frames: Tensor, box: Sequence[int], flip: bool, colours: Sequence[float]
    ) -> Tensor:
        """One clip, uint8 (T, 3, H, W) -> (T, 3, crop_size, crop_size)."""
        size = [self.crop_size, self.crop_size]
        frames = functional.resized_crop(frames, *box, size=size, antialias=True)
        if flip:
            frames = functional.horizontal_flip(frames)
        if self.colour_jitter:
            brightness, contrast, saturation = colours
            frames = functional.adjust_brightness(frames, brightness)
            frames = functional.adjust_contrast(frames, contrast)
            frames = functional.adjust_saturation(frames, saturation)
        return frames


def _check_pixels(pixels: Tensor) -> None:
    if pixels.dtype != torch.uint8 or pixels.ndim != 5 or pixels.shape[1] != 3:
        raise ArgumentError(
            "pixels: expected uint8 of shape (N, 3, T, H, W), "
            f"got {pixels.dtype} of shape {tuple(pixels.shape)}"
        )
