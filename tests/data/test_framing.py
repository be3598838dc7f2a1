from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.data.framing import fit, square_crop
from vidattn.errors import LimitError
from vidattn.video.frames import Frames


def ramp(height: int, width: int, source_size: tuple[int, int] = (200, 400)) -> Frames:
    """Two frames that get brighter to the right, 0 to 240."""
    row = torch.linspace(0, 240, width).round().to(torch.uint8)
    rows = row[None, None, :, None].expand(2, height, width, 3).contiguous()
    times = torch.arange(2, dtype=torch.float64)
    return Frames.from_array(rows, seconds=times, indices=times.long(), source_size=source_size)


def test_frames_of_the_right_size_are_left_alone() -> None:
    frames = ramp(20, 40)
    assert fit(frames, 20, "keep", "a.mp4") is frames


@pytest.mark.parametrize(
    ("size", "fitted"), [((10, 21), (20, 42)), ((21, 10), (42, 20)), ((7, 7), (20, 20))]
)
def test_small_frames_are_enlarged_and_keep_their_shape(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    found = fit(ramp(*size), 20, "keep", "a.mp4")
    assert found.size == fitted
    assert found.source_size == (200, 400)
    assert found.pixels.permute(0, 2, 3, 1).is_contiguous()
    values = found.pixels[0, 0, 0].numpy().astype(int)
    assert (np.diff(values) >= 0).all()
    assert (values[0], values[-1]) == (0, 240)


@pytest.mark.parametrize("size", [(20, 41), (35, 20), (10, 30), (20, 20)])
def test_stretched_frames_are_square_and_show_all(size: tuple[int, int]) -> None:
    found = fit(ramp(*size), 20, "stretch", "a.mp4")
    assert found.size == (20, 20)
    assert found.pixels.permute(0, 2, 3, 1).is_contiguous()
    values = found.pixels[0, 0, 0].numpy().astype(int)
    assert values[0] < 20
    assert values[-1] > 220


def test_slivers_are_refused_by_name() -> None:
    with pytest.raises(LimitError, match=r"sliver\.mp4: frames of 66 × 2"):
        fit(ramp(2, 66), 20, "keep", "sliver.mp4")


def test_a_crop_of_a_stretched_frame_lies_where_it_was_in_the_source() -> None:
    stretched = fit(ramp(20, 40), 20, "stretch", "a.mp4")
    pixels, geometry = square_crop(stretched, 5, 10, 10)
    assert pixels.shape == (2, 3, 10, 10)
    # One stretched pixel is 10 source pixels high and 20 wide.
    assert geometry.window == (200.0, 50.0, 400.0, 150.0)
