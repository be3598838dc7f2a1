"""Decode-time resizing against the mean of areas in closed form, and on real films."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter

from vidattn.errors import VideoError
from vidattn.video import open_video
from vidattn.video.decoding.orientation import Orientation
from vidattn.video.decoding.picture import RgbConverter

HEIGHT, WIDTH = 96, 128
VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov"}
# ITU-R BT.601: gain and zero of luma, then red by V, green by U and by V, blue by U.
MATRICES = {
    "yuv420p": (255 / 219, 16, 1.596027, 0.391762, 0.812968, 2.017232),
    "yuvj420p": (1, 0, 1.402, 0.344136, 0.714136, 1.772),
}


def overlaps(size: int, smaller: int) -> np.ndarray:
    """(smaller, size): how much of each old pixel lies in each new one; rows sum to 1."""
    edges = np.arange(smaller + 1) * size / smaller
    left = np.maximum(edges[:-1, None], np.arange(size))
    right = np.minimum(edges[1:, None], np.arange(1, size + 1))
    return np.clip(right - left, 0, None) * smaller / size


def mean_of_areas(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return overlaps(len(plane), size[0]) @ plane @ overlaps(plane.shape[1], size[1]).T


def smooth_plane(shape: tuple[int, int], low: int, high: int) -> np.ndarray:
    coarse = torch.empty(1, 1, shape[0] // 4, shape[1] // 4).uniform_(low, high)
    return (
        torch.nn.functional.interpolate(coarse, size=shape, mode="bilinear")[0, 0].round().numpy()
    )


@pytest.mark.parametrize("pixel_format", MATRICES)
@pytest.mark.parametrize("size", [(48, 64), (30, 40), (46, 62), (47, 63), (33, 45), (1, 1)])
def test_small_pictures_are_means_of_areas(pixel_format: str, size: tuple[int, int]) -> None:
    """As far from the closed form as one rounding where the width is odd, else a few levels."""
    luma = smooth_plane((HEIGHT, WIDTH), 70, 180)  # no colour is cut off at 0 or 255
    colours = [smooth_plane((HEIGHT // 2, WIDTH // 2), 110, 146) for _ in range(2)]
    planes = np.concatenate([plane.ravel() for plane in (luma, *colours)]).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(planes.reshape(-1, WIDTH), format=pixel_format)

    gain, zero, red_v, green_u, green_v, blue_u = MATRICES[pixel_format]
    y = gain * (mean_of_areas(luma, size) - zero)
    half = size[1] % 2 == 0  # RGB of even width is made of colours that two neighbours share
    u, v = (
        mean_of_areas(plane, (size[0], size[1] // 2)).repeat(2, 1) - 128
        if half
        else mean_of_areas(plane, size) - 128
        for plane in colours
    )
    expected = np.stack([y + red_v * v, y - green_u * u - green_v * v, y + blue_u * u], 2)

    found = RgbConverter().picture("a film", frame, size, Orientation.of("a film", frame))
    distance = np.abs(found - expected)
    assert distance.max() < (4.5 if half else 0.6)
    assert distance.mean() < (1.6 if half else 0.3)


def test_one_converter_for_many_sizes_and_formats() -> None:
    """What it keeps of one conversion must not leak into the next."""
    converter = RgbConverter()
    rows = torch.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=torch.uint8).numpy()
    for pixel_format in ("yuv420p", "gbrp", "yuvj420p", "yuv422p", "yuv420p10le", "gray"):
        frame = VideoReformatter().reformat(
            av.VideoFrame.from_ndarray(rows, format="rgb24"), format=pixel_format
        )
        for size in ((48, 64), (33, 45), (HEIGHT, WIDTH), (48, 64)):
            kept, fresh = (
                one.picture("a film", frame, size, Orientation.of("a film", frame))
                for one in (converter, RgbConverter())
            )
            assert kept.shape == (*size, 3)
            assert np.array_equal(kept, fresh)


@pytest.mark.slow
def test_real_films_are_near_the_mean_of_areas(shared_data: Path) -> None:
    """The figures of docs/decoders.md: `-s` shows them."""
    films = [p for p in sorted(shared_data.rglob("*")) if p.suffix.lower() in VIDEO_SUFFIXES]
    distances: dict[int, list[float]] = {64: [], 128: [], 224: []}
    for film in films:
        for side, found in distances.items():
            try:
                with open_video(film) as reader:
                    if min(reader.size) <= side:
                        continue
                    index = [len(reader) // 2]
                    whole, small = reader.frames_at(index), reader.frames_at(index, short_side=side)
            except VideoError:
                continue
            mean = np.stack(
                [mean_of_areas(c, small.size) for c in whole.pixels[0].double().numpy()]
            )
            found.append(float(np.abs(small.pixels[0].numpy() - mean).mean()))
    for side, found in distances.items():
        print(f"short side {side}: {len(found)} films, mean {np.mean(found):.2f} levels")
        print(f"  95 % below {np.quantile(found, 0.95):.2f}, largest {max(found):.2f}")
        assert np.mean(found) < 2
