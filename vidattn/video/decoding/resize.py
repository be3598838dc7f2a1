from __future__ import annotations

import numpy as np
from PIL import Image

from vidattn.errors import ArgumentError


def resized_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """(height, width) with the shorter side at `short_side`, aspect kept, never enlarged."""
    if short_side is None:
        return size
    if short_side < 1:
        raise ArgumentError(f"short_side: expected at least 1 pixel, got {short_side}")
    scale = short_side / min(size)
    if scale >= 1:
        return size
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize_area(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One RGB frame (H, W, 3) uint8 at a smaller (height, width), each pixel an area's mean."""
    if frame.shape[:2] == size:
        return frame
    image = Image.fromarray(frame)
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX))
