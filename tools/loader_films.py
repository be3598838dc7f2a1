"""Films like those of Kinetics-400 for tools/bench_loader.py: 340x256, 30 fps, 10 s, x264."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS, FRAMES, HEIGHT, WIDTH = 30, 300, 256, 340
# The settings that x264 has by default: groups of at most 250 pictures, 3 B-frames, pyramid.
OPTIONS = {"preset": "medium", "crf": "23", "threads": "1"}
SUFFIXES = {".mp4", ".avi", ".mkv", ".webm"}


def write_films(sources: Sequence[Path], folder: Path, count: int) -> list[Path]:
    """`count` films, drawn evenly from the folders of the sources; those that are there are kept.

    A source shorter than 10 s runs forwards and backwards in turn, so that no cut is added: a cut
    would start a new group of pictures. Without sources the films are drawn scenes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    films = []
    for number, source in enumerate(_spread(sources, count) or [None] * count):
        path = folder / f"{number:02}_{source.stem if source else 'drawn'}.mp4"
        if not path.exists():
            _encode(_there_and_back(source) if source else _drawn(number), path)
        films.append(path)
    return films


def _spread(sources: Sequence[Path], count: int) -> list[Path]:
    """`count` of the sources, as many from each folder as there are, in turn."""
    folders = [[s for s in sources if s.parent == f] for f in dict.fromkeys(map(_parent, sources))]
    rounds = [(folder, turn) for turn in range(count) for folder in folders][:count]
    turns = -(-count // max(len(folders), 1))
    return [folder[turn * len(folder) // turns] for folder, turn in rounds]


def _parent(path: Path) -> Path:
    return path.parent


def videos_under(folders: Sequence[Path]) -> list[Path]:
    """All videos in the folders, sorted."""
    return sorted(p for f in folders for p in f.rglob("*") if p.suffix.lower() in SUFFIXES)


def _there_and_back(source: Path) -> Iterator[np.ndarray]:
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 25)
        kept = []
        for frame in container.decode(stream):
            kept.append(frame.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT))
            if len(kept) >= FRAMES / FPS * rate:
                break
    period = max(2 * (len(kept) - 1), 1)
    for number in range(FRAMES):
        place = int(number * rate / FPS) % period
        yield kept[min(place, period - place)]


def _drawn(seed: int) -> Iterator[np.ndarray]:
    """A smooth texture that pans, with grain and a moving box."""
    generator = np.random.default_rng(seed)
    grid = generator.random((HEIGHT // 8 + 40, WIDTH // 8 + 40, 3))
    texture = np.kron(grid, np.ones((8, 8, 1))).astype(np.float32) * 200
    grain = generator.normal(0, 2, (8, HEIGHT, WIDTH, 1)).astype(np.float32)
    for number in range(FRAMES):
        x, y = int(100 + 90 * np.sin(number / 47)), int(100 + 90 * np.cos(number / 31))
        picture = texture[y : y + HEIGHT, x : x + WIDTH] + grain[number % 8]
        left = int((WIDTH - 80) * (0.5 + 0.5 * np.sin(number / 19)))
        picture[90:150, left : left + 80] = 230
        yield np.clip(picture, 0, 255).astype(np.uint8)


def _encode(pictures: Iterator[np.ndarray], path: Path) -> None:
    temporary = path.with_suffix(".partial.mp4")
    with av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=OPTIONS)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    temporary.rename(path)
