"""No wrong frame: films of many kinds whose frames show their number, and random requests."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.numbered_films import encode, read_number
from tests.video.test_native_planes import planes, sequential
from vidattn.video import open_video
from vidattn.video.readers.pyav_reader import PyavReader

X264 = {"codec": "libx264", "preset": "veryfast"}
X265 = {"codec": "libx265", "preset": "ultrafast"}
FAST_VP9 = {"codec": "libvpx-vp9", "deadline": "realtime", "cpu-used": "8"}
FAST_AV1 = {"codec": "libsvtav1", "preset": "12", "svtav1-params": "lp=1"}
SIZES = ((64, 96), (50, 130), (144, 96))
# Units of the time base a frame, in several rates; the last is uneven.
RATES = ((Fraction(1, 25), 1), (Fraction(1001, 30000), 1), (Fraction(1, 1000), 41))


def grid() -> dict[str, dict[str, object]]:
    """Settings of `encode` by name: codec, groups of pictures, B-frames, container, rate, size."""
    cases: dict[str, dict[str, object]] = {}

    def add(name: str, suffix: str, **settings: object) -> None:
        number = len(cases)
        base, step = RATES[number % len(RATES)]
        jumps = [step * (i + (i // 7 if number % 3 == 2 else 0)) for i in range(40)]
        size = SIZES[number % len(SIZES)]
        cases[f"{number:02d}_{name}{suffix}"] = {
            "times": jumps,
            "time_base": base,
            "size": size,
            **settings,
        }

    for g, bf, suffix in itertools.product((1, 7, 30), (0, 2, 3), (".mp4", ".mkv", ".ts")):
        if g > bf or bf == 0:
            add(f"h264_g{g}_bf{bf}", suffix, **X264, g=str(g), bf=str(bf))
    for pyramid, opened in itertools.product((0, 1, 2), (0, 1)):
        options = f"b-pyramid={pyramid}:open-gop={opened}:keyint=12:bframes=4:scenecut=0"
        add(f"h264_pyramid{pyramid}_open{opened}", ".mp4", **X264, **{"x264-params": options})
    for refresh in (".mp4", ".ts"):
        add("h264_refresh", refresh, **X264, **{"x264-params": "intra-refresh=1:keyint=12"})
    for g, bf, suffix in itertools.product((5, 30), (0, 3), (".mp4", ".mkv", ".ts")):
        params = f"keyint={g}:bframes={bf}:log-level=0:pools=none:frame-threads=1"
        add(f"h265_g{g}_bf{bf}", suffix, **X265, **{"x265-params": params})
    for codec, suffix, bf in (
        ("mpeg4", ".mp4", 0),
        ("mpeg4", ".mp4", 2),
        ("mpeg4", ".avi", 0),
        ("mpeg4", ".mkv", 2),
        ("mpeg2video", ".ts", 0),
        ("mpeg2video", ".ts", 2),
        ("mpeg2video", ".mkv", 2),
        ("mpeg1video", ".mpg", 2),
    ):
        settings = {"codec": codec, "g": "9", "bf": str(bf), "b:v": "900k"}
        add(f"{codec}_bf{bf}", suffix, **{**settings, "time_base": Fraction(1, 25)}, **EVEN)
    for g, suffix in itertools.product((4, 60), (".webm", ".mkv")):
        add(f"vp9_g{g}", suffix, **FAST_VP9, g=str(g))
        add(f"vp9_hidden_g{g}", suffix, codec="libvpx-vp9", **HIDDEN, g=str(g))
        add(f"vp8_g{g}", suffix, codec="libvpx", deadline="realtime", g=str(g))
    for suffix in (".mp4", ".mkv"):
        add("av1", suffix, **FAST_AV1, g="16")
    add("mjpeg", ".avi", codec="mjpeg", pixel_format="yuvj420p", **EVEN, time_base=Fraction(1, 25))
    add("ffv1", ".mkv", codec="ffv1", g="5")
    return cases


EVEN: dict[str, object] = {"times": list(range(40))}
# Frames that are referred to and never shown.
HIDDEN = {"cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}
CASES = grid()


def check(path: Path) -> int:
    """Compare with PyAV's own sequential decode, and with the numbers; how many frames."""
    times, digests, _ = sequential(path)
    assert len(times) == 40
    generator = np.random.default_rng(len(path.name))
    compared = 0
    for attempt in range(3):
        with open_video(path) as reader:
            assert isinstance(reader, PyavReader)
            assert len(reader) == 40
            assert reader.seconds_of(range(40)) == pytest.approx(times, abs=1e-12)
            for count in (1, 3, 8, 2, 20):
                wanted = generator.integers(0, 40, count)
                if attempt:
                    wanted = np.unique(wanted)
                frames = reader.frames_at(wanted.tolist())
                pictures = frames.pixels.permute(0, 2, 3, 1).numpy()
                assert [read_number(picture) for picture in pictures] == wanted.tolist()
                native = reader.decoded_frames(wanted.tolist())
                for index, frame in zip(wanted.tolist(), native, strict=True):
                    assert planes(frame) == digests[index], index
                    del frame
                compared += 2 * len(wanted)
    return compared


def made(folder: Path, name: str) -> Path:
    settings = dict(CASES[name])
    if settings["codec"] not in av.codecs_available:
        pytest.skip(f"{settings['codec']} is not part of this PyAV")
    return encode(folder / name, 40, **settings)  # type: ignore[arg-type]


def test_there_are_enough_kinds() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", list(CASES)[::9])
def test_some_kinds(tmp_path: Path, name: str) -> None:
    assert check(made(tmp_path, name)) > 100


@pytest.mark.slow
def test_all_kinds(tmp_path: Path) -> None:
    compared = {name: check(made(tmp_path, name)) for name in CASES}
    print(f"{len(compared)} films, {sum(compared.values())} frames: none is wrong")
