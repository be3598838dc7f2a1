from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.video import Clip, Geometry

sides = st.integers(1, 400)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("resize"), sides, sides),
        st.tuples(st.just("flip")),
        st.tuples(st.just("crop"), *[st.floats(0, 1)] * 4),
    ),
    max_size=6,
)


def apply(geometry: Geometry, chain: list[tuple]) -> Geometry:
    for kind, *values in chain:
        if kind == "resize":
            geometry = geometry.resized(tuple(values))
        elif kind == "flip":
            geometry = geometry.flipped_horizontally()
        else:
            height, width = geometry.size
            top, left = int(values[0] * (height - 1)), int(values[1] * (width - 1))
            rest = 1 + int(values[2] * (height - top - 1)), 1 + int(values[3] * (width - left - 1))
            geometry = geometry.cropped(top, left, *rest)
    return geometry


def follow(chain: list[tuple], size: tuple[int, int], point: tuple[float, float]) -> np.ndarray:
    """Where a source point goes, one step after the other."""
    y, x = point
    for kind, *values in chain:
        if kind == "resize":
            y, x = y * values[0] / size[0], x * values[1] / size[1]
            size = tuple(values)
        elif kind == "flip":
            x = size[1] - x
        else:
            top, left = int(values[0] * (size[0] - 1)), int(values[1] * (size[1] - 1))
            y, x = y - top, x - left
            size = (
                1 + int(values[2] * (size[0] - top - 1)),
                1 + int(values[3] * (size[1] - left - 1)),
            )
    return np.array([x, y])


@given(sides, sides, steps, st.floats(0, 400), st.floats(0, 400))
def test_a_chain_is_its_steps_one_by_one(
    height: int, width: int, chain: list[tuple], y: float, x: float
) -> None:
    geometry = apply(Geometry.whole((height, width)), chain)
    found = geometry.to_clip(np.array([x, y, x, y]))
    expected = follow(chain, (height, width), (y, x))
    scale = max(geometry.size) / min(
        geometry.window[2] - geometry.window[0], geometry.window[3] - geometry.window[1]
    )
    np.testing.assert_allclose(found[:2], expected, rtol=1e-6, atol=1e-6 * (1 + 400 * scale))


@given(sides, sides, steps)
def test_there_and_back(height: int, width: int, chain: list[tuple]) -> None:
    geometry = apply(Geometry.whole((height, width)), chain)
    boxes = np.array([[[0.0, 0.0, 1.0, 2.0], [3.5, 1.0, 7.0, 9.25]]])
    back = geometry.to_clip(geometry.to_source(boxes))
    np.testing.assert_allclose(back, boxes, rtol=1e-6, atol=1e-6)
    assert back.shape == boxes.shape
    source = geometry.to_source(np.array([0.0, 0.0, geometry.size[1], geometry.size[0]]))
    np.testing.assert_allclose(source, geometry.window, rtol=1e-9, atol=1e-9)


def test_by_hand() -> None:
    """240x320, halved, cropped to 100x100 at top 10 left 30, mirrored, doubled to 200x200.

    The crop shows source x 60 to 260 and y 20 to 220, one source pixel a clip pixel at last.
    The source box x 80 to 100, y 40 to 60 lies 20 to 40 from the left and from the top;
    mirrored, 160 to 180 from the left.
    """
    geometry = (
        Geometry.whole((240, 320))
        .resized((120, 160))
        .cropped(10, 30, 100, 100)
        .flipped_horizontally()
        .resized((200, 200))
    )
    assert geometry.window == (60, 20, 260, 220)
    box = np.array([80.0, 40.0, 100.0, 60.0])
    assert geometry.to_clip(box).tolist() == [160, 20, 180, 40]
    assert geometry.to_source(np.array([160.0, 20.0, 180.0, 40.0])).tolist() == box.tolist()


def test_cropping_the_mirrored_side() -> None:
    """The left half of a mirrored clip is the right half of its source."""
    geometry = Geometry.whole((10, 20)).flipped_horizontally().cropped(0, 0, 10, 10)
    assert geometry.window == (10, 0, 20, 10)


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, -1, 2, 2), (9, 0, 2, 2), (0, 19, 2, 2)])
def test_crops_outside_are_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ArgumentError, match="crop"):
        Geometry.whole((10, 20)).cropped(*box)


def test_empty_crops_are_refused() -> None:
    with pytest.raises(ArgumentError, match="crop"):
        Geometry.whole((10, 20)).cropped(0, 0, 0, 5)


def clip(pixels: torch.Tensor, **changes: object) -> Clip:
    frames = len(pixels)
    given = {
        "seconds": torch.zeros(frames, dtype=torch.float64),
        "indices": torch.zeros(frames, dtype=torch.int64),
        "valid": torch.ones(frames, dtype=torch.bool),
        "geometry": Geometry.whole((4, 6)),
        "video_id": "a",
        **changes,
    }
    return Clip(pixels, **given)  # type: ignore[arg-type]


def test_clip_checks_its_parts() -> None:
    pixels = torch.zeros(3, 3, 4, 6, dtype=torch.uint8)
    assert len(clip(pixels)) == 3
    with pytest.raises(ArgumentError, match="pixels"):
        clip(pixels.float())
    with pytest.raises(ArgumentError, match="geometry"):
        clip(pixels, geometry=Geometry.whole((5, 6)))
    with pytest.raises(ArgumentError, match="valid"):
        clip(pixels, valid=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ArgumentError, match="seconds"):
        clip(pixels, seconds=torch.zeros(3))
