from __future__ import annotations

import errno
import subprocess
import sys
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.video import VideoWriter


def noise(count: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def walking(count: int, size: tuple[int, int]) -> np.ndarray:
    """Boxes that cross a textured picture, which makes the encoder look for motion."""
    height, width = size
    frames = np.repeat(noise(1, size) // 4, count, 0)
    for index, frame in enumerate(frames):
        left = index * (width - 40) // count
        frame[20:60, left : left + 40] = (200, 100, 50)
        frame[height - 50 : height - 10, width - 40 - left : width - left, 1] = 230
    return frames


def write(path: Path, frames: np.ndarray, **settings: object) -> bytes:
    settings = {"fps": 25, "size": frames.shape[1:3], **settings}
    with VideoWriter(path, **settings) as writer:  # type: ignore[arg-type]
        for frame in frames:
            writer.write(frame)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_same_input_same_bytes(tmp_path: Path, suffix: str) -> None:
    frames = noise(12, (48, 64))
    first = write(tmp_path / f"a{suffix}", frames)
    assert first == write(tmp_path / f"b{suffix}", frames)
    assert first != write(tmp_path / f"c{suffix}", frames[::-1])


@pytest.mark.parametrize("preset", ["veryfast", "medium"])
def test_presets_that_look_ahead_repeat_their_bytes(tmp_path: Path, preset: str) -> None:
    """Whatever the memory held before: here, in new processes, after other videos."""
    frames = walking(30, (120, 160))
    found = set()
    for other in range(4):
        write(tmp_path / "other.mp4", noise(5, (60 + 4 * other, 80)), preset=preset)
        found.add(sha256(write(tmp_path / "a.mp4", frames, preset=preset)).hexdigest())
    np.save(tmp_path / "frames.npy", frames)
    code = (
        "import sys, numpy as np; from vidattn.video import VideoWriter\n"
        "with VideoWriter(sys.argv[2], fps=25, size=(120, 160), preset=sys.argv[3]) as writer:\n"
        "    for frame in np.load(sys.argv[1]): writer.write(frame)"
    )
    command = [sys.executable, "-c", code, tmp_path / "frames.npy", tmp_path / "b.mp4", preset]
    subprocess.run(command, check=True)
    found.add(sha256((tmp_path / "b.mp4").read_bytes()).hexdigest())
    assert len(found) == 1


def test_what_is_written_is_read(tmp_path: Path) -> None:
    frames = np.zeros((10, 48, 64, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[:, : 6 * index] = (200, 100, 50)
    write(tmp_path / "a.mp4", frames, fps=Fraction(30000, 1001))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(30000, 1001)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert np.abs(np.stack(decoded).astype(int) - frames).mean() < 4


def test_odd_sizes(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"divisible by \(2, 2\).*got \(47, 64\)"):
        write(tmp_path / "a.mp4", noise(1, (47, 64)))
    write(tmp_path / "b.mp4", noise(1, (47, 63)), pixel_format="yuv444p")
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    target.write_bytes(b"old")

    def fail() -> None:
        with VideoWriter(target, fps=25, size=(48, 64)) as writer:
            writer.write(noise(1, (48, 64))[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(ArgumentError, match="no frame"):
        VideoWriter(target, fps=25, size=(48, 64)).close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fps": 0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"crf": 52}, "crf"),
        ({"preset": "warp"}, "cannot write"),
        ({"pixel_format": "rgb24"}, "pixel_format"),
        ({"size": (0, 64)}, "size"),
        ({"size": (32, 64)}, r"expected uint8 of shape \(32, 64, 3\)"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        write(tmp_path / "a.mp4", noise(1, (48, 64)), **settings)
    assert not list(tmp_path.iterdir())


def test_wrong_target(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="ending"):
        VideoWriter(tmp_path / "a.txt", fps=25, size=(48, 64))
    with pytest.raises(ArgumentError, match="folder"):
        VideoWriter(tmp_path / "none" / "a.mp4", fps=25, size=(48, 64))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_are_shown_at_times_of_their_own(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.04, 0.5, 0.54, 2.0]
    path = tmp_path / f"timed{suffix}"
    with VideoWriter(path, fps=25, size=(32, 32), timed=True) as writer:
        for number, seconds in enumerate(times):
            writer.write(np.full((32, 32, 3), 40 * number, np.uint8), seconds=seconds)
    with av.open(str(path)) as container:
        found = [
            (frame.time, frame.to_ndarray(format="rgb24").mean())
            for frame in container.decode(video=0)
        ]
    assert [time for time, _ in found] == pytest.approx(times, abs=1e-3)
    assert [level for _, level in found] == pytest.approx([0, 40, 80, 120, 160], abs=6)


def test_times_go_with_timed_videos_and_rise(tmp_path: Path) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", fps=25, size=(32, 32)) as plain:
        with pytest.raises(ArgumentError, match="only there"):
            plain.write(picture, seconds=0.0)
        plain.write(picture)
    with VideoWriter(tmp_path / "b.mp4", fps=25, size=(32, 32), timed=True) as timed:
        with pytest.raises(ArgumentError, match="only there"):
            timed.write(picture)
        timed.write(picture, seconds=0.0)
        with pytest.raises(ArgumentError, match="rise"):
            timed.write(picture, seconds=0.0)


def test_a_full_disk_names_the_video_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What FFmpeg says of its hidden file is said of the video."""

    def write() -> None:
        with VideoWriter(tmp_path / "film.mp4", fps=25, size=(32, 32)) as writer:

            def full(*_: object) -> None:
                raise av.error.OSError(errno.ENOSPC, "No space left on device", ".partial-x.mp4")

            monkeypatch.setattr(writer, "_container", SimpleNamespace(mux=full, close=lambda: None))
            writer.write(np.zeros((32, 32, 3), np.uint8))

    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".mp4")
    with VideoWriter(path, fps=25, size=(32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
