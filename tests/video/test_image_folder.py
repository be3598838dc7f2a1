from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.video.numbered_films import SIZE, draw, png, read_number
from vidattn.errors import (
    ArgumentError,
    DecodeError,
    NotAVideoError,
    UnknownNameError,
    VideoNotFoundError,
)
from vidattn.video import ImageFolderReader, open_video
from vidattn.video.opening import open_video_or_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (0, 1, 2, 9, 10, 11, 100):
        (tmp_path / f"frame{number}.png").write_bytes(png(number))
    (tmp_path / "notes.txt").write_text("not a frame")
    return tmp_path


def test_natural_order_and_exact_pixels(folder: Path) -> None:
    with open_video(folder, fps=10) as reader:
        frames = reader.frames_at(range(len(reader)))
        pictures = frames.pixels.permute(0, 2, 3, 1).numpy()
        assert [read_number(picture) for picture in pictures] == [0, 1, 2, 9, 10, 11, 100]
        assert (pictures[3] == draw(9)).all()
        assert frames.seconds.tolist() == pytest.approx([i / 10 for i in range(7)])
        assert frames.timestamps_made_up
        assert reader.timestamps_made_up
        assert (reader.fps, reader.duration_seconds, reader.size) == (10, pytest.approx(0.7), SIZE)
        assert reader.frames_between(0.2, 0.5).indices.tolist() == [2, 3, 4]
        assert reader.frames_at([5, 0, 5]).indices.tolist() == [5, 0, 5]
        with pytest.raises(IndexError):
            reader.frames_at([7])


def test_short_side(folder: Path) -> None:
    with open_video(folder) as reader:
        assert reader.fps == 25
        small = reader.frames_at([6], short_side=16).pixels[0].permute(1, 2, 0).numpy()
    exact = draw(100).reshape(16, 4, 24, 4, 3).mean((1, 3))
    assert np.abs(small - exact).max() <= 0.51


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="fps"):
        open_video(folder, fps=0)
    with pytest.raises(NotAVideoError, match="expected a folder"):
        ImageFolderReader(folder / "notes.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAVideoError, match="without jpg"):
        open_video(tmp_path / "empty")
    (folder / "frame3.png").write_bytes(png(3, (32, 96)))
    (folder / "frame4.png").write_bytes(png(4)[:100])
    with open_video(folder) as reader:
        with pytest.raises(DecodeError, match=r"frame3\.png is 96x32 pixels, the first.*96x64"):
            reader.frames_at([3])
        with pytest.raises(DecodeError, match=r"cannot read frame4\.png"):
            reader.frames_at([4])
        assert len(reader.frames_at([0])) == 1


def test_no_frame(folder: Path) -> None:
    with open_video(folder, fps=10) as reader:
        for frames in (reader.frames_at([], short_side=16), reader.frames_between(0.2, 0.2)):
            assert len(frames) == len(frames.seconds) == len(frames.indices) == 0
        assert tuple(reader.frames_at([], short_side=16).pixels.shape) == (0, 3, 16, 24)
        assert len(reader.frames_between(0.5, 0.2)) == 0


def test_one_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    (tmp_path / "still.png").write_bytes(png(7))
    with open_video_or_picture(tmp_path / "still.png") as reader:
        assert (len(reader), reader.duration_seconds, reader.seconds_of([0])) == (1, 1.0, [0.0])
        assert read_number(reader.frames_at([0]).array[0]) == 7
    (tmp_path / "broken.jpg").write_bytes(png(7)[:60])
    with pytest.raises(DecodeError, match=r"broken\.jpg"):
        open_video_or_picture(tmp_path / "broken.jpg")
    with pytest.raises(UnknownNameError, match="abacus"):
        open_video_or_picture(tmp_path / "still.png", "abacus")
    with pytest.raises(VideoNotFoundError):
        open_video_or_picture(tmp_path / "absent.png")


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (39, 59)), (6, (0, 39)), (8, (59, 0))]
)
def test_a_picture_is_as_it_is_shown(
    orientation: int, corner: tuple[int, int], tmp_path: Path
) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[0, 0] = 255
    tags = Image.Exif()
    tags[0x0112] = orientation  # of EXIF: which side of what is stored is up
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=tags)
    with open_video_or_picture(tmp_path / "turned.png") as reader:
        assert reader.size == ((60, 40) if orientation in (6, 8) else (40, 60))
        [shown] = reader.frames_at([0]).array
    assert shown.shape[:2] == reader.size
    assert shown[corner].tolist() == [255, 255, 255]
