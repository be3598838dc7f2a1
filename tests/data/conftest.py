from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from vidattn.data.annotations import Sample
from vidattn.video import VideoWriter

MakeVideo = Callable[..., Path]

# Frame i is grey of level FIRST + STEP · i on its left half, so that its number can be read
# back from its pixels; the right half is dark, so that left and right can be told apart.
FIRST, STEP = 40, 5


def write_video(
    path: Path, *, frames: int = 20, size: tuple[int, int] = (48, 64), fps: float = 25
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=fps, size=size, crf=10, preset="ultrafast") as writer:
        for number in range(frames):
            image = np.full((*size, 3), 16, dtype=np.uint8)
            image[:, : size[1] // 2] = FIRST + STEP * number
            writer.write(image)
    return path


@pytest.fixture(scope="session")
def frame_numbers() -> Callable[[Tensor], list[int]]:
    """Numbers of the frames of a clip, (T, 3, H, W), whose left edge is in the left half."""

    def read(pixels: Tensor) -> list[int]:
        levels = pixels[:, :, :, 0].float().mean((1, 2))
        return ((levels - FIRST) / STEP).round().int().tolist()

    return read


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    def make(name: str, **settings) -> Path:
        return write_video(tmp_path / name, **settings)

    return make


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of class folders: 6 videos of 2 classes, of different shapes and lengths."""
    root = tmp_path_factory.mktemp("videos")
    shapes = [(48, 64), (64, 48), (48, 48)]
    for label in ("fall", "rise"):
        for number, size in enumerate(shapes):
            write_video(root / label / f"{number}.mp4", size=size, frames=12 + 8 * number)
    return root


@pytest.fixture(scope="session")
def make_sample() -> Callable[..., Sample]:
    def make(path: Path | str, *labels: str, **settings) -> Sample:
        path = Path(path)
        return Sample(path, labels or ("rise",), settings.pop("video_id", path.name), **settings)

    return make
