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


def floor_centre(size: tuple[int, int], side: int) -> list[CropPosition]:
    """The centre; half a pixel goes down.

    Source: MMAction2 `CenterCrop`.
    """
    below, beside = _room(size, side)
    return [CropPosition(below // 2, beside // 2)]


def ceil_centre(size: tuple[int, int], side: int) -> list[CropPosition]:
    """The centre; half a pixel goes up.

    Source: PySlowFast `datasets/transform.py::uniform_crop`.
    """
    below, beside = _room(size, side)
    return [CropPosition(_half_up(below), _half_up(beside))]


def even_centre(size: tuple[int, int], side: int) -> list[CropPosition]:
    """The centre; half a pixel goes to the even neighbour.

    Source: torchvision `transforms.functional.center_crop`.
    """
    below, beside = _room(size, side)
    return [CropPosition(round(below / 2), round(beside / 2))]


def pyslowfast_three_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Start, centre and end of the longer side; centres as in `ceil_centre`.

    Source: PySlowFast `datasets/transform.py::uniform_crop`; TimeSformer has the same.
    """
    below, beside = _room(size, side)
    top, left = _half_up(below), _half_up(beside)
    if size[0] > size[1]:
        return [CropPosition(y, left) for y in (0, top, below)]
    return [CropPosition(top, x) for x in (0, left, beside)]


def mmaction2_three_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Start, end and centre, in this order, of the longer side; the end is 2 · ⌊room / 2⌋.

    With an odd number of pixels left over, the last one is in no crop.

    Source: MMAction2 `ThreeCrop`.

    Raises:
        ArgumentError: a crop does not fill the shorter side.
    """
    below, beside = _filled_room(size, side)
    if below:
        return [CropPosition(y, 0) for y in (0, below // 2 * 2, below // 2)]
    return [CropPosition(0, x) for x in (0, beside // 2 * 2, beside // 2)]


def videomae_three_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Start, centre and end of the longer side; the centre as in `floor_centre`.

    Source: VideoMAE `kinetics.py::VideoClsDataset`, mode "test".

    Raises:
        ArgumentError: a crop does not fill the shorter side.
    """
    below, beside = _filled_room(size, side)
    if below:
        return [CropPosition(y, 0) for y in (0, below // 2, below)]
    return [CropPosition(0, x) for x in (0, beside // 2, beside)]


def tsm_three_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Left, right and centre, in this order, on a grid of quarters of the room, rounded down.

    Along the width whatever the frame's shape: of a portrait frame all three may be the same.

    Source: TSM `ops/transforms.py::GroupFullResSample`.
    """
    below, beside = _room(size, side)
    return [CropPosition(below // 4 * 2, beside // 4 * step) for step in (0, 4, 2)]


def quarter_ten_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Four corners and centre on a grid of quarters of the room, each followed by its mirror image.

    Quarters are rounded down, so that up to three rows and columns at the far ends are in no crop.

    Source: MMAction2 `TenCrop`; TSM `ops/transforms.py::GroupOverSample`.
    """
    below, beside = _room(size, side)
    places = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
    return [
        CropPosition(below // 4 * down, beside // 4 * right, flipped)
        for down, right in places
        for flipped in (False, True)
    ]


def caffe_ten_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Four corners and `floor_centre`, then the mirror images of these five.

    Source: Caffe `python/caffe/io.py::oversample`, which the first TSN was tested with.
    """
    below, beside = _room(size, side)
    places = [(0, 0), (0, beside), (below, 0), (below, beside), (below // 2, beside // 2)]
    return [CropPosition(*place, flipped) for flipped in (False, True) for place in places]


def torchvision_ten_crops(size: tuple[int, int], side: int) -> list[CropPosition]:
    """Four corners and `even_centre`, then the same five of the mirrored frame.

    The mirrored frame's left is the frame's right, so that the mirrored crops come in another
    order than those of `caffe_ten_crops`, and its centre may lie a pixel further left or right.

    Source: torchvision `transforms.functional.ten_crop`.
    """
    below, beside = _room(size, side)
    top, left = even_centre(size, side)[0][:2]
    places = [(0, 0), (0, beside), (below, 0), (below, beside), (top, left)]
    mirrored = [CropPosition(y, beside - x, True) for y, x in places]
    return [CropPosition(*place) for place in places] + mirrored


def _room(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Pixels left below and beside a square of `side`."""
    height, width = size
    if side < 1 or side > min(size):
        raise ArgumentError(f"crop_size: expected 1 to the shorter side of {size}, got {side}")
    return height - side, width - side


def _filled_room(size: tuple[int, int], side: int) -> tuple[int, int]:
    below, beside = _room(size, side)
    if below and beside:
        raise ArgumentError(f"crop_size: expected the shorter side of {size}, got {side}")
    return below, beside


def _half_up(room: int) -> int:
    return -(-room // 2)


Cropping = Callable[[tuple[int, int], int], list[CropPosition]]
