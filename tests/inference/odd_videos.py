"""Two hundred odd videos, made by PyAV alone: contents, formats, sizes, times and damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.video.numbered_films import turn

SIZE = (48, 64)
MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class OddVideo:
    """How one video is made.

    Attributes:
        content: a name in `CONTENTS`.
        count: frames.
        step, start: milliseconds from frame to frame, and of the first; `times`: of each instead.
        rotation: (a, b, c, d) of an MP4's display matrix.
        streams: other streams, of "sound", "second", "cover", "only sound".
        damage: done to the bytes of the file, so that frames may be missing or refused.
    """

    name: str
    content: str = "scenes"
    count: int = 30
    step: int = 40
    start: int = 0
    times: tuple[int, ...] | None = None
    size: tuple[int, int] = SIZE
    ending: str = ".mp4"
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    rotation: tuple[int, int, int, int] | None = None
    streams: tuple[str, ...] = ()
    damage: Callable[[bytes], bytes] | None = None

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}{self.ending}"
        with av.open(str(path), "w") as container:
            _write(container, self)
        if self.rotation is not None:
            turn(path, self.rotation)
        if self.damage is not None:
            path.write_bytes(self.damage(path.read_bytes()))
        return path


def _scene(number: int, size: tuple[int, int], noise: int | None = None) -> np.ndarray:
    """A textured picture, and noise of its own on it."""
    height, width = size
    generator = np.random.default_rng(number)
    cells = generator.integers(20, 220, (min(6, height), min(8, width), 3))
    rows, columns = (np.arange(n) * len(c) // n for n, c in ((height, cells), (width, cells[0])))
    picture = cells[rows][:, columns].astype(np.int64)
    if noise is not None:
        picture += np.random.default_rng(1000 + noise).integers(-4, 5, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def _flat(level: int, size: tuple[int, int]) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def _moving(number: int, count: int, size: tuple[int, int]) -> np.ndarray:
    picture = _scene(5, size)
    side = max(1, size[0] // 6)
    left = number * max(1, size[1] - side) // max(1, count)
    picture[:side, left : left + side] = 255
    return picture


CONTENTS: dict[str, Callable[[int, int, tuple[int, int]], np.ndarray]] = {
    "scenes": lambda n, count, size: _scene(3 * n // count, size, n),
    "still": lambda n, count, size: _scene(0, size),
    "grain": lambda n, count, size: _scene(0, size, n),
    "black": lambda n, count, size: _flat(0, size),
    "white": lambda n, count, size: _flat(255, size),
    "grey": lambda n, count, size: _flat(120, size),
    "flashing": lambda n, count, size: _flat(255, size) if n % 2 else _scene(0, size),
    "strobe": lambda n, count, size: _flat(255 * (n % 2), size),
    "slides": lambda n, count, size: _scene(5 * n // count, size),
    "noise": lambda n, count, size: np.random.default_rng(n).integers(0, 256, (*size, 3), np.uint8),
    "fade": lambda n, count, size: (_scene(0, size) * ((n + 1) / count)).astype(np.uint8),
    "moving": _moving,
}


def _write(container: Any, video: OddVideo) -> None:
    sound = None
    if "sound" in video.streams or "only sound" in video.streams:
        sound = container.add_stream("aac", rate=8000, layout="mono")
    films = [] if "only sound" in video.streams else [_add(container, video, video.size)]
    if "second" in video.streams:
        films.append(_add(container, video, (32, 32)))
    cover = _add_cover(container) if "cover" in video.streams else None
    if sound is not None:
        for number in range(16):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, 1024 * number
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    if cover is not None:
        picture = av.VideoFrame.from_ndarray(_scene(99, (32, 32)), format="rgb24")
        container.mux(cover.encode(picture.reformat(format="yuvj420p")))
    for number in range(video.count):
        for stream in films:
            size = (stream.height, stream.width)
            picture = CONTENTS[video.content](number, video.count, size)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=video.pixel_format)
            own = video.times[number] if video.times else video.start + number * video.step
            frame.pts, frame.time_base = own, MILLISECOND
            container.mux(stream.encode(frame))
    for stream in films:
        container.mux(stream.encode(None))


def _add(container: Any, video: OddVideo, size: tuple[int, int]) -> Any:
    rate = Fraction(1000, max(video.step, 1)).limit_denominator(1000)
    stream = container.add_stream(video.codec, rate=rate, options=video.options)
    stream.height, stream.width = size
    stream.pix_fmt = video.pixel_format
    if video.codec in TIMED:
        stream.codec_context.time_base = MILLISECOND
    stream.codec_context.thread_count = 1
    return stream


def _add_cover(container: Any) -> Any:
    stream = container.add_stream("mjpeg", rate=1)
    stream.height, stream.width, stream.pix_fmt = 32, 32, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


# Encoders that take times in milliseconds; the others count frames of their rate.
TIMED = ("libx264", "libx265", "libvpx-vp9", "ffv1", "rawvideo")


def cut(share: float) -> Callable[[bytes], bytes]:
    """Only the first part."""
    return lambda data: data[: int(len(data) * share)]


def flipped(seed: int, count: int = 8) -> Callable[[bytes], bytes]:
    """Some bytes changed, none of the first 100."""

    def damage(data: bytes) -> bytes:
        generator, own = np.random.default_rng(seed), bytearray(data)
        for place in generator.integers(100, len(own), count):
            own[place] ^= int(generator.integers(1, 256))
        return bytes(own)

    return damage


def _contents() -> list[OddVideo]:
    return [
        OddVideo(f"{content}_{count}", content, count)
        for content in CONTENTS
        for count in (1, 2, 3, 30)
    ]


FORMATS = (
    (".mp4", "libx264", "yuv422p"), (".mp4", "libx264", "yuv444p"), (".mp4", "libx264", "gray"),
    (".mp4", "libx264", "yuv420p10le"), (".mkv", "libx264", "yuv444p10le"),
    (".mkv", "libx265", "yuv420p"), (".mp4", "libx265", "yuv420p10le"),
    (".webm", "libvpx-vp9", "yuv420p"), (".webm", "libvpx-vp9", "yuva420p"),
    (".webm", "libvpx", "yuva420p"), (".mkv", "libvpx-vp9", "yuv444p"),
    (".mov", "prores_ks", "yuv422p10le"), (".mov", "prores_ks", "yuva444p10le"),
    (".mov", "qtrle", "argb"), (".mov", "png", "rgba"), (".mkv", "ffv1", "bgra"),
    (".mkv", "ffv1", "gray16le"), (".mkv", "ffv1", "yuv444p16le"), (".mkv", "ffv1", "gray"),
    (".avi", "mjpeg", "yuvj420p"), (".avi", "mpeg4", "yuv420p"), (".avi", "rawvideo", "bgr24"),
    (".ts", "mpeg2video", "yuv420p"), (".mpg", "mpeg1video", "yuv420p"), (".flv", "flv", "yuv420p"),
    (".wmv", "wmv2", "yuv420p"), (".gif", "gif", "rgb8"), (".avi", "huffyuv", "rgb24"),
    (".ts", "libx264", "yuv420p"), (".mkv", "libx264", "yuv420p"),
)  # fmt: skip


def _formats() -> list[OddVideo]:
    found = [
        OddVideo(f"{codec}_{pixels}_{ending[1:]}", ending=ending, codec=codec, pixel_format=pixels)
        for ending, codec, pixels in FORMATS
    ]
    interlaced = {"x264-params": "tff=1:interlaced=1"}
    bright = {"x265-params": "log-level=none:colorprim=9:transfer=16:colormatrix=9"}
    return [
        *(_quiet(each) for each in found),
        OddVideo("interlaced", options=interlaced),
        OddVideo("hdr", codec="libx265", pixel_format="yuv420p10le", options=bright),
        OddVideo("all_intra", options={"g": "1"}),
        OddVideo("one_group", options={"g": "999", "bf": "3"}),
    ]


def _quiet(video: OddVideo) -> OddVideo:
    quiet = {"libx265": {"x265-params": "log-level=none"}, "libvpx": {"auto-alt-ref": "0"}}
    return replace(video, options=quiet.get(video.codec, {}))


def _sizes() -> list[OddVideo]:
    sizes = [(1, 1), (1, 7), (2, 2), (3, 5), (2, 200), (200, 2), (16, 16), (17, 31), (96, 54)]
    sizes += [(64, 36), (31, 400), (400, 31), (8, 8), (33, 33)]
    lossless = {"ending": ".mkv", "codec": "ffv1", "pixel_format": "yuv444p"}
    found = [OddVideo(f"size_{h}x{w}", size=(h, w), **lossless) for h, w in sizes]
    found += [OddVideo(f"x264_{h}x{w}", size=(h, w)) for h, w in ((2, 2), (480, 16), (16, 480))]
    return [*found, OddVideo("size_1079x1919", "moving", 5, size=(1079, 1919), **lossless)]


def _times() -> list[OddVideo]:
    random = np.random.default_rng(0)
    irregular = tuple(int(each) for each in np.cumsum(random.integers(1, 400, 30)))
    found = [
        OddVideo("one_a_second", step=1000),
        OddVideo("ten_hours", count=60, step=600_000),
        OddVideo("ten_hours_of_nothing", "black", 60, step=600_000),
        OddVideo("ten_hours_still", "still", 60, step=600_000),
        OddVideo("ten_hours_grain", "grain", 60, step=600_000, ending=".mkv"),
        OddVideo("fps_1000", step=1),
        OddVideo("fps_250", step=4, count=120),
        OddVideo("variable", times=irregular),
        OddVideo("variable_mkv", times=irregular, ending=".mkv"),
        OddVideo("burst", times=(*range(0, 290, 10), 60_000)),
        OddVideo("pause", times=(*range(0, 600, 40), *range(90_000, 90_600, 40))),
        OddVideo("late", start=100_000),
        OddVideo("late_mkv", start=100_000, ending=".mkv"),
        OddVideo("late_ts", start=95_000_000, ending=".ts"),
        OddVideo("negative", start=-400),
        OddVideo("negative_mkv", start=-400, ending=".mkv"),
        OddVideo("edit_list", options={"bf": "3"}, start=-200),
        OddVideo("slow_slides", "slides", 20, step=30_000),
    ]
    return [replace(each, options={"bf": "0"} | each.options) for each in found]


def _streams() -> list[OddVideo]:
    turns = {
        "90": (0, 1, -1, 0),
        "180": (-1, 0, 0, -1),
        "270": (0, -1, 1, 0),
        "mirror": (-1, 0, 0, 1),
    }
    found = [OddVideo(f"turned_{name}", rotation=matrix) for name, matrix in turns.items()]
    for ending in (".mp4", ".mkv"):
        found += [
            OddVideo(f"sound_{ending[1:]}", ending=ending, streams=("sound",)),
            OddVideo(f"only_sound_{ending[1:]}", ending=ending, streams=("only sound",)),
            OddVideo(f"two_{ending[1:]}", ending=ending, streams=("second",)),
        ]
    return [
        *found,
        OddVideo("cover", streams=("cover",)),
        OddVideo("only_sound_and_cover", streams=("only sound", "cover")),
        OddVideo("sound_and_cover", streams=("sound", "cover")),
    ]


def _damaged() -> list[OddVideo]:
    found = [
        OddVideo(f"cut_{round(share * 100)}_{ending[1:]}", ending=ending, damage=cut(share))
        for ending in (".mp4", ".mkv", ".ts", ".avi")
        for share in (0.0, 0.02, 0.3, 0.6, 0.9, 0.99)
    ]
    found = [each if each.ending != ".avi" else replace(each, codec="mpeg4") for each in found]
    endings = (".mp4", ".mkv", ".ts")
    found += [
        OddVideo(f"flipped_{seed}", ending=endings[seed % 3], damage=flipped(seed))
        for seed in range(48)
    ]
    texts = {"text": b"no video at all\n" * 9, "zeros": bytes(4000), "png": b"\x89PNG\r\n\x1a\n"}
    return [
        *found,
        *(OddVideo(name, damage=lambda _, text=text: text) for name, text in texts.items()),
    ]


def all_odd_videos() -> list[OddVideo]:
    return [*_contents(), *_formats(), *_sizes(), *_times(), *_streams(), *_damaged()]
