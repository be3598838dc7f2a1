from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.video.numbered_films import encode
from vidattn.errors import ArgumentError, LimitError
from vidattn.video import Limits, open_video

Film = Callable[[str], Path]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(maximum_pixels=64 * 96 - 1), "96x64 pixels"),
        (Limits(maximum_packets=39), "39 packets"),
        (Limits(maximum_seconds=1.5), "at most 2 s|1.5 s"),
    ],
)
@pytest.mark.parametrize("name", ["b_frames", "transport_stream", "open_groups"])
def test_refused(films: Film, limits: Limits, message: str, name: str) -> None:
    """Row: huge dimensions, frame bombs."""
    with pytest.raises(LimitError, match=message):
        open_video(films(name), limits=limits)


def test_just_allowed(films: Film) -> None:
    limits = Limits(maximum_pixels=64 * 96, maximum_packets=40, maximum_seconds=1.61)
    with open_video(films("b_frames"), limits=limits) as reader:
        assert len(reader.frames_at([0, 39])) == 2


def test_a_header_that_lies_about_the_size(tmp_path: Path) -> None:
    """The track header and the sample entry say 16x16, the pictures themselves are larger."""
    path = encode(tmp_path / "liar.mp4", 3)
    data = bytearray(path.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    assert data[entry : entry + 4] == bytes((0, 96, 0, 64))
    data[entry : entry + 4] = bytes((0, 16, 0, 16))
    path.write_bytes(bytes(data))
    with pytest.raises(LimitError):
        open_video(path, limits=Limits(maximum_pixels=1000)).frames_at([0])


def test_images_too(tmp_path: Path) -> None:
    from tests.video.numbered_films import png

    (tmp_path / "0.png").write_bytes(png(0))
    with pytest.raises(LimitError):
        open_video(tmp_path, limits=Limits(maximum_pixels=100))


@pytest.mark.parametrize("name", ["maximum_pixels", "maximum_packets", "maximum_seconds"])
def test_limits_are_above_zero(name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        Limits(**{name: 0})
