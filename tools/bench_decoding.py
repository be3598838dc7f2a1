"""Time to open a video and read some of its frames: ours, torchcodec's, decord's.

Every contestant reads the same frames of the same files, in turn within each round, in one
process, and hands out uint8 RGB. All run with 1 thread and with 2; ours with 2 is what it does
where nothing is set, on two cores. "best" compares it with the fastest setting of any peer, "one
thread" compares those with one, as in a loader's worker. A round uses fresh indices; figures are
medians over rounds, ratios are ours over the faster peer's in the same round, with 95 % bootstrap
intervals of the median.

The files are encoded here, from a drawn scene or from the pictures of a film (`--footage`): how
many pictures an encoder leaves without references depends on what they show. The last cell is the
look at all key frames of the longest file, beside the ffmpeg program that decodes them and throws
them away, with one thread and with as many as it likes, less the time in which it starts.

Example:
  python tools/bench_decoding.py --output runs/decoding --footage film.mp4 --videos other.mp4
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import av
import numpy as np
from rich import print_json
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vidattn.files import write_json
from vidattn.jobs import index_videos
from vidattn.video import open_video
from vidattn.video.decoding.references import unreferred_test

FPS = 30
SIZES = {"340x256": (256, 340), "640x360": (360, 640), "1280x720": (720, 1280)}
COUNTS = (4, 8, 16, 32)
DENSE = 32
THREADS = (1, 2)
PEERS = ("torchcodec", "decord")


@dataclass(frozen=True)
class Source:
    """How one file is encoded; the name says it again."""

    name: str
    size: str
    seconds: int
    codec: str = "libx264"
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.size} {self.seconds} s"


X264 = (("preset", "medium"), ("crf", "23"))
VP9 = (("deadline", "realtime"), ("cpu-used", "8"))
SOURCES = (
    Source("h264 default", "640x360", 10, options=X264),
    Source("h264 default", "340x256", 10, options=X264),
    Source("h264 default", "1280x720", 10, options=X264),
    Source("h264 default", "640x360", 120, options=X264),
    Source("h264 gop 12", "640x360", 10, options=(*X264, ("g", "12"))),
    Source("h264 gop 30", "640x360", 120, options=(*X264, ("g", "30"))),
    Source("h264 no pyramid", "640x360", 10, options=(*X264, ("x264-params", "b-pyramid=none"))),
    Source("h264 no b-frames", "640x360", 10, options=(*X264, ("bf", "0"))),
    Source("h264 no b-frames", "640x360", 120, options=(*X264, ("bf", "0"))),
    Source("h264 intra only", "640x360", 10, options=(*X264, ("g", "1"))),
    Source("hevc default", "640x360", 10, "libx265", (("x265-params", "log-level=none:pools=1"),)),
    Source("mpeg4 2 b-frames", "640x360", 10, "mpeg4", (("bf", "2"), ("g", "60"), ("q", "4"))),
    Source("vp9", "640x360", 10, "libvpx-vp9", VP9),
    Source("h264 fast", "640x360", 600, options=(("preset", "veryfast"), ("crf", "23"))),
)


def main() -> None:
    parsed = parse()
    folder = parsed.output / "files"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [source for source in SOURCES if parsed.longest >= source.seconds]
    files = {str(source): write(source, folder, parsed.footage) for source in chosen}
    files |= {Path(video).name: Path(video) for video in parsed.videos}
    cells: list[dict[str, Any]] = []
    result = {
        "versions": {name: version(name) for name in ("av", "torchcodec", "decord", "torch")},
        "rounds": parsed.rounds,
        "footage": parsed.footage.name if parsed.footage else "drawn scene",
        "sources": {str(source): [source.codec, *source.options] for source in chosen},
        "cells": cells,
    }
    for name, path in track(list(files.items()), console=Console(stderr=True)):
        cells += [cell(name, path, request, parsed.rounds) for request in requests(path)]
        result["groups"] = groups(cells)
        write_json(parsed.output / "decoding.json", result)  # what is done is kept
    show(cells)
    print_json(data=groups(cells))
    if which("ffmpeg"):
        longest = max(files.values(), key=lambda path: path.stat().st_size)
        result["keyframes"] = keyframe_scan(longest, parsed.rounds)
        write_json(parsed.output / "decoding.json", result)
        print(result["keyframes"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/decoding"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--footage", type=Path, help="film whose pictures are encoded")
    parser.add_argument("--longest", type=int, default=600, help="seconds of the longest file")
    parser.add_argument("--videos", nargs="*", default=[], help="more files to read")
    return parser.parse_args()


# -- what is read ----------------------------------------------------------------------------


def write(source: Source, folder: Path, footage: Path | None) -> Path:
    path = folder / f"{source.name} {source.size} {source.seconds}.mp4".replace(" ", "_")
    if path.exists():
        return path
    height, width = SIZES[source.size]
    pictures = scene(height, width) if footage is None else film(footage, height, width)
    temporary = path.with_suffix(".partial.mp4")
    with av.open(str(temporary), "w") as container:
        stream = container.add_stream(source.codec, rate=FPS, options=dict(source.options))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        # PyAV's default would cut each picture in slices, which x264 does not do by itself.
        stream.codec_context.thread_type = "FRAME"
        for number, frame in enumerate(islice(pictures, source.seconds * FPS)):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    temporary.rename(path)
    return path


def film(footage: Path, height: int, width: int) -> Iterator[av.VideoFrame]:
    """Its frames, scaled, over and over."""
    while True:
        with av.open(str(footage)) as container:
            for frame in container.decode(video=0):
                yield frame.reformat(width=width, height=height, format="yuv420p")


def scene(height: int, width: int) -> Iterator[av.VideoFrame]:
    """A textured scene that pans, turns and flickers."""
    generator = np.random.default_rng(0)
    grid = generator.random((height // 8 + 40, width // 8 + 40, 3))
    texture = np.kron(grid, np.ones((8, 8, 1))).astype(np.float32) * 200
    grain = generator.normal(0, 4, (8, height, width, 1)).astype(np.float32)
    for number in range(10**9):
        x = int(100 + 90 * np.sin(number / 47))
        y = int(100 + 90 * np.cos(number / 31))
        picture = texture[y : y + height, x : x + width] + grain[number % 8]
        left = int((width - 80) * (0.5 + 0.5 * np.sin(number / 19)))
        picture[height // 3 : height // 3 + 60, left : left + 80] = 230
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        yield av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


@dataclass(frozen=True)
class Request:
    """Which frames: `sparse` spread over the whole file, `dense` consecutive."""

    name: str
    count: int

    def draw(self, length: int, generator: np.random.Generator) -> list[int]:
        if self.name == "dense":
            start = int(generator.integers(0, max(length - self.count, 0), endpoint=True))
            return list(range(start, min(start + self.count, length)))
        bounds = np.linspace(0, length, self.count + 1)
        places = bounds[:-1] + generator.random(self.count) * np.diff(bounds)
        return sorted({int(place) for place in places})


def requests(path: Path) -> list[Request]:
    with open_video(path) as reader:
        length = len(reader)
    found = [Request("sparse", count) for count in COUNTS if count <= length]
    return [*found, Request("dense", DENSE)] if length >= DENSE else found


# -- who reads -------------------------------------------------------------------------------


def ours(path: Path, indices: Sequence[int], *, threads: int) -> np.ndarray:
    with open_video(path, threads=threads) as reader:
        return reader.frames_at(indices).array


def torchcodec(path: Path, indices: Sequence[int], *, threads: int) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=threads)
    return decoder.get_frames_at(indices=list(indices)).data.numpy()


def decord(path: Path, indices: Sequence[int], *, threads: int) -> np.ndarray:
    import decord as library

    reader = library.VideoReader(str(path), num_threads=threads)
    return reader.get_batch(list(indices)).asnumpy()


Contestant = Callable[[Path, Sequence[int]], np.ndarray]


def contestants() -> dict[str, Contestant]:
    found: dict[str, Contestant] = {}
    for name, read in (("vidattn", ours), ("torchcodec", torchcodec), ("decord", decord)):
        for threads in THREADS:
            found[f"{name} {threads}"] = partial(read, threads=threads)
    return found


def cell(name: str, path: Path, request: Request, rounds: int) -> dict[str, Any]:
    """All contestants on one file and kind of request, in turn in every round."""
    generator = np.random.default_rng(1)
    with open_video(path) as reader:
        length = len(reader)
    readers = contestants()
    seconds: dict[str, list[float]] = {contestant: [] for contestant in readers}
    different: dict[str, int] = dict.fromkeys(readers, 0)
    for number in range(-1, rounds):  # the first round warms up
        indices = request.draw(length, generator)
        expected = ours(path, indices, threads=1)
        order = list(readers)
        generator.shuffle(order)
        for contestant in order:
            gc.collect()
            started = time.perf_counter()
            try:
                frames = readers[contestant](path, indices)
            except Exception as error:
                different[contestant] += len(indices)
                seconds[contestant].append(float("nan"))
                print(f"{contestant} on {name}: {str(error).splitlines()[0]}")
                continue
            if number >= 0:
                seconds[contestant].append(time.perf_counter() - started)
            different[contestant] += int((frames != expected).any((1, 2, 3)).sum())
    return {
        "file": name,
        "request": f"{request.name} {request.count}",
        "frames_in_file": length,
        "unreferred_share": unreferred_share(path),
        "milliseconds": {k: 1000 * float(np.nanmedian(v)) for k, v in seconds.items() if v},
        "frames_that_differ": different,
        "best": ratio(seconds, max(THREADS), THREADS),
        "one thread": ratio(seconds, 1, (1,)),
    }


def unreferred_share(path: Path) -> float:
    """Of the packets, how many hold pictures that no other one refers to, as they say."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        test = unreferred_test(stream.codec_context)
        packets = [packet for packet in container.demux(stream) if packet.size]
        return sum(map(test, packets)) / len(packets) if test else 0.0


def ratio(
    seconds: dict[str, list[float]], our_threads: int, threads: Sequence[int]
) -> dict[str, Any]:
    """Ours over the faster peer's, round by round; peers at the better number of threads."""
    peers = {f"{peer} {n}": seconds[f"{peer} {n}"] for peer in PEERS for n in threads}
    rival = min(peers, key=lambda name: float(np.nanmedian(peers[name])))
    found = np.array(seconds[f"vidattn {our_threads}"]) / np.array(peers[rival])
    generator = np.random.default_rng(0)
    medians = np.nanmedian(generator.choice(found, (2000, len(found))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return {"rival": rival, "median": float(np.nanmedian(found)), "low": low, "high": high}


def groups(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median and range of the ratios over cells: dense, and sparse by what can be left out."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for found in cells:
        sparse = found["request"].startswith("sparse")
        some = "some" if found["unreferred_share"] else "nothing"
        kinds.setdefault(f"sparse, {some} to leave out" if sparse else "dense", []).append(found)
    return {
        kind: {
            name: {
                "cells": len(members),
                "median": float(np.median([member[name]["median"] for member in members])),
                "least": min(member[name]["median"] for member in members),
                "most": max(member[name]["median"] for member in members),
                "highest bound": max(member[name]["high"] for member in members),
            }
            for name in ("best", "one thread")
        }
        for kind, members in kinds.items()
    }


# -- key frames ------------------------------------------------------------------------------


def keyframe_scan(path: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds to see every key frame, in turn; "kept" is with a packet table from before."""
    start = ["ffmpeg", "-v", "error"]
    one_thread = ["-threads", "1"]
    command = ["-skip_frame", "nokey", "-i", str(path), "-f", "null", "-"]
    nothing = ["-i", str(path), "-t", "0", "-f", "null", "-"]
    taken: dict[str, list[float]] = {}

    def take(name: str, work: Callable[[], Any]) -> None:
        taken.setdefault(name, []).append(milliseconds(work))

    for _ in range(rounds):
        with TemporaryDirectory() as folder, patch.dict(os.environ, VIDATTN_CACHE=folder):
            for threads in THREADS:
                take(f"vidattn {threads}", partial(look, path, threads))
            index_videos([path], progress=False)
            for threads in THREADS:
                take(f"vidattn {threads}, kept", partial(look, path, threads))
        take("ffmpeg 1", lambda: subprocess.run([*start, *one_thread, *command]))
        take("ffmpeg", lambda: subprocess.run([*start, *command]))
        take("ffmpeg starts", lambda: subprocess.run([*start, *nothing]))
    starting = float(np.median(taken["ffmpeg starts"]))
    found: dict[str, Any] = {"file": path.name, "milliseconds": {}, "ratios": {}}
    for name, values in taken.items():
        less = starting if name in ("ffmpeg", "ffmpeg 1") else 0.0
        found["milliseconds"][name] = float(np.median(values)) - less
    for name in (each for each in taken if each.startswith("vidattn")):
        rivals = ["ffmpeg 1"] if "1" in name else ["ffmpeg 1", "ffmpeg"]
        theirs = min(rivals, key=lambda rival: np.median(taken[rival]))
        quotients = np.array(taken[name]) / (np.array(taken[theirs]) - starting)
        low, middle, high = np.percentile(quotients, [25, 50, 75])
        found["ratios"][name] = {"of": theirs, "median": middle, "quartiles": [low, high]}
    return found


def look(path: Path, threads: int) -> int:
    with open_video(path, threads=threads) as reader:
        return len(reader.intra_frames(short_side=128))


def milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def show(cells: Sequence[dict[str, Any]]) -> None:
    table = Table("file", "frames", "ours, ms", "peer, ms", "ratio, 95 %", "peer", "one thread")
    for found in cells:
        best, times = found["best"], found["milliseconds"]
        table.add_row(
            found["file"],
            found["request"],
            f"{times[f'vidattn {max(THREADS)}']:.1f}",
            f"{times[best['rival']]:.1f}",
            figure(best),
            best["rival"],
            figure(found["one thread"]),
        )
    Console(width=150).print(table)


def figure(found: dict[str, Any]) -> str:
    return f"{found['median']:.2f} ({found['low']:.2f} – {found['high']:.2f})"


if __name__ == "__main__":
    main()
