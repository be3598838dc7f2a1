from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vidattn.data.spec import Aspect
from vidattn.errors import LimitError
from vidattn.video.clip import Geometry
from vidattn.video.frames import Frames

MAXIMUM_ASPECT = 32


def fit(frames: Frames, short_side: int, aspect: Aspect, path: str) -> Frames:
    """Decoded frames at the size that clips are cut from.

    Args:
        frames: as a reader gives them for this `short_side`: smaller only if the video is.
        short_side: pixels of the shorter side.
        aspect: "keep" the ratio of the sides, or "stretch" to a square.
        path: named in errors.

    Raises:
        LimitError: see `enlarge_to`.
    """
    frames = enlarge_to(frames, short_side, path)
    return stretch(frames, short_side) if aspect == "stretch" else frames


def enlarge_to(frames: Frames, short_side: int, path: str) -> Frames:
    """Frames whose shorter side has at least `short_side` pixels; bilinear where smaller.

    Readers only ever shrink, and clips of small videos must stack with the others.

    Raises:
        LimitError: enlarging a sliver would make it longer than 32 times its short side.
    """
    height, width = frames.size
    short = min(height, width)
    if short >= short_side:
        return frames
    long = round(max(height, width) * short_side / short)
    if long > MAXIMUM_ASPECT * short_side:
        raise LimitError(path, f"frames of {width} × {height} pixels are too elongated to enlarge")
    size = (short_side, long) if height <= width else (long, short_side)
    from torchvision.transforms.v2 import functional

    pixels: Tensor = functional.resize(frames.pixels, list(size), antialias=True)
    return replace(frames, pixels=pixels.contiguous(memory_format=torch.channels_last))


def stretch(frames: Frames, side: int) -> Frames:
    """Frames resized to side × side pixels, whatever their aspect ratio; bilinear, antialiased."""
    return resize(frames, (side, side))


def resize(frames: Frames, size: tuple[int, int]) -> Frames:
    """Frames resized to (height, width), whatever their aspect ratio; bilinear, antialiased."""
    if frames.size == size:
        return frames
    from torchvision.transforms.v2 import functional

    pixels: Tensor = functional.resize(frames.pixels, list(size), antialias=True)
    return replace(frames, pixels=pixels.contiguous(memory_format=torch.channels_last))


def square_crop(frames: Frames, top: int, left: int, side: int) -> tuple[Tensor, Geometry]:
    """A square part of all frames, as a view of their memory, and where it lies in the source."""
    pixels = frames.pixels[:, :, top : top + side, left : left + side]
    whole = Geometry.whole(frames.source_size, frames.size)
    return pixels, whole.cropped(top, left, side, side)
