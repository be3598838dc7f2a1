from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vidattn.errors import ArgumentError


class CropPosition(NamedTuple):
    """A crop for testing: cut the square at `top`, `left`, then mirror it if `flipped`."""

    top: int
    left: int
    flipped: bool = False


def crop_positions(size: tuple[int, int], crop: tuple[int, int], crops: int = 1) -> np.ndarray:
    """Where to crop frames for testing.

    Args:
        size: (height, width) of the frames.
        crop: (height, width) of the crop, no larger.
        crops: 1, the centre; or 3, start, centre and end of the longer side (left, centre,
            right of a landscape or square video; top, centre, bottom of a portrait one),
            centred along the shorter.

    Returns:
        int64 (crops, 2): top and left of each; a centre is ⌊(size − crop) / 2⌋.

    Raises:
        ArgumentError: the crop does not fit, or `crops` is neither 1 nor 3.
    """
    room = np.array(size, dtype=np.int64) - np.array(crop, dtype=np.int64)
    if room.min() < 0 or min(crop) < 1:
        raise ArgumentError(f"crop: expected (height, width) within {size}, got {crop}")
    if crops not in (1, 3):
        raise ArgumentError(f"crops: expected 1 or 3, got {crops}")
    positions = np.tile(room // 2, (crops, 1))
    if crops == 3:
        longer = 0 if size[0] > size[1] else 1
        positions[0, longer] = 0
        positions[2, longer] = room[longer]
    return positions


def pyslowfast_three_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Start, centre and end of the longer side; halves of centres go up.

    Source: PySlowFast `datasets/transform.py::uniform_crop`.
    """
    height, width = _room(size, side)
    top, left = -(-height // 2), -(-width // 2)
    if size[0] > size[1]:
        return [CropPosition(y, left) for y in (0, top, height)]
    return [CropPosition(top, x) for x in (0, left, width)]


def _room(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Pixels left below and beside a square of `side`."""
    height, width = size
    if side < 1 or side > min(size):
        raise ArgumentError(f"crop_size: expected 1 to the shorter side of {size}, got {side}")
    return height - side, width - side


Cropping = Callable[[tuple[int, int], int], list[CropPosition]]

CROPPING: dict[str, Cropping] = {"pyslowfast-3": pyslowfast_three_crops}
