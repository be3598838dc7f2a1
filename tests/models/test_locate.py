"""An impulse in time and space comes back where it was put."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import brightness_recogniser
from vidattn import selection
from vidattn.backbones import Stage
from vidattn.models import Locator
from vidattn.video import Geometry


def stage(stride: tuple[int, int, int], offset: tuple[float, float, float]) -> Stage:
    return Stage("any", 1, stride, offset, "any")


def test_cells_map_to_hand_computed_pixels() -> None:
    locator = Locator(stage((2, 8, 8), (0.0, 3.5, 0.0)), frame_count=16, size=(32, 64))
    rows, columns = locator.cell_centres(4, 8)
    assert rows.tolist() == [4.0, 12.0, 20.0, 28.0]  # 3.5 + half a pixel, then 8 apart
    assert columns.tolist() == [0.5 + 8 * i for i in range(8)]
    # The clip shows the right half of a source twice as large, mirrored.
    geometry = Geometry((64, 256), (128.0, 0.0, 256.0, 64.0), (32, 64), flipped=True)
    # Cell (row 1, column 2): centre (16.5, 12) ± 4 in the clip.
    box = locator.to_source(np.array([[2.0, 1.0, 3.0, 2.0]]), geometry)[0]
    assert box.tolist() == [128 + 2 * (64 - 20.5), 2 * 8.0, 128 + 2 * (64 - 12.5), 2 * 16.0]
    point = locator.to_source(np.array([2.5, 1.5]), geometry)
    assert point.tolist() == [128 + 2 * (64 - 16.5), 2 * 12.0]


def test_a_map_covers_its_edge_cells_whole() -> None:
    locator = Locator(stage((1, 4, 8), (0.0, 0.0, 3.5)), frame_count=1, size=(32, 64))
    geometry = Geometry((64, 256), (128.0, 0.0, 256.0, 64.0), (32, 64))
    # Rows: centres 0.5, 4.5, … 28.5 ± 2; columns: 4, 12, … 60 ± 4; twice as large in the source.
    expected = [128.0, -3.0, 256.0, 61.0]
    assert locator.extent(8, 8, geometry).tolist() == expected


def test_steps_map_to_times_between_uneven_frames() -> None:
    locator = Locator(stage((2, 1, 1), (0.5, 0.0, 0.0)), frame_count=4, size=(1, 1))
    assert locator.on_clip([0.0, 0.1, 0.5, 0.6], 2).tolist() == pytest.approx([0.05, 0.55])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_impulse_comes_back_through_resize_crop_and_flip(seed: int, flip: bool) -> None:
    generator = np.random.default_rng(seed)
    source_size = (180, 320)
    frame, seconds = int(generator.integers(2, 14)), np.sort(generator.uniform(0, 3, 16))
    # Inside what the crop below will show, a block of 12 pixels.
    x, y = int(generator.integers(90, 240)), int(generator.integers(30, 140))
    video = torch.zeros(16, 3, *source_size)
    video[frame, :, y - 6 : y + 6, x - 6 : x + 6] = 1.0

    resized = torch.nn.functional.interpolate(video, (90, 160), mode="area")
    top, left = 5, 40
    clip = resized[:, :, top : top + 80, left : left + 84]
    geometry = Geometry.whole(source_size).resized((90, 160)).cropped(top, left, 80, 84)
    if flip:
        clip, geometry = clip.flip(3), geometry.flipped_horizontally()

    recogniser = brightness_recogniser()
    batch = clip.permute(1, 0, 2, 3)[None]
    with torch.no_grad():
        recognition = recogniser(batch)
    locator = recogniser.locator(batch)
    step = int(recognition.frame_scores[0].argmax())
    steps = recognition.frame_scores.shape[1]
    assert abs(locator.frame_positions(steps)[step] - frame) <= locator.stage.stride[0] / 2
    nearest = seconds[max(frame - 1, 0)], seconds[min(frame + 1, 15)]
    assert nearest[0] <= locator.on_clip(seconds, steps)[step] <= nearest[1]

    regions = recognition.region_weights[0, step].numpy()
    point = locator.to_source(selection.peak_location(regions), geometry)
    # Half a stride of 4 clip pixels is 4 source pixels here.
    assert np.abs(point - [x, y]).max() <= 4
    cells = selection.threshold_regions(regions, fraction=0.5)
    x1, y1, x2, y2 = locator.to_source(cells, geometry)[0]
    assert x1 <= x <= x2
    assert y1 <= y <= y2
