"""Clips per second of a training loader: ours, torchcodec's, decord's, PyTorchVideo's.

Films of 340x256 pixels and 10 s, x264's default settings; clips of 16 frames, every fourth. All
loaders read the same clips in the same order with the same number of workers, in turn within
each round, and hand out uint8 batches of one size. Each peer runs with 1 and with 2 threads; ratios
are ours over the best peer's in the same round: the median, and a 95 % bootstrap interval of it.
CPU time is what the workers used. "4 a decode" draws four clips of each video at once, from films
whose groups of pictures are as long as x264 makes them, so that those of the clips overlap: by the
loader, and by a reader alone (`clips`), which hands the frames of clips of its own to nobody.

Example:
  python tools/bench_loader.py --sources my/videos more/videos
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from loader_contestants import (
    Decord,
    PyTorchVideo,
    Torchcodec,
    frame_mappings,
    our_loader,
    peer_loader,
)
from loader_films import OPTIONS, videos_under, write_films
from torch.utils.data import DataLoader

from vidattn.data import ClipSpec
from vidattn.files import write_json
from vidattn.video import open_video

FILMS, BATCH = 12, 4
OURS, INDEXED = "ours", "ours, indexed"
ONE, FOUR = "ours, long groups", "ours, long groups, 4 a decode"
READ_ONE, READ_FOUR = "reader, long groups", "reader, long groups, 4 a decode"
# What each peer is compared with: those that keep an index against ours with one.
KEEPS_INDEX = "torchcodec, frame mappings"


@dataclass
class Contestant:
    """A loader with its workers running, and what its turns took."""

    loader: DataLoader[Any]
    clips: int
    workers: list[int]
    rates: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)

    def turn(self, epoch: int) -> None:
        """One epoch, timed."""
        before, start = self._processor_seconds(), time.perf_counter()
        seen = self._iterate(epoch)
        seconds = time.perf_counter() - start
        assert seen == self.clips, f"expected {self.clips} clips, got {seen}"
        self.rates.append(seen / seconds)
        self.processor_ms.append((self._processor_seconds() - before) / seen * 1000)

    def _iterate(self, epoch: int) -> int:
        self.loader.sampler.set_epoch(epoch)
        return sum(len(batch) for batch in self.loader)

    def _processor_seconds(self) -> float:
        fields = [Path(f"/proc/{p}/stat").read_text().split(")")[1].split() for p in self.workers]
        return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


@dataclass
class Reading:
    """A reader without a loader, in this process, one thread: four clips of each film."""

    films: list[Path]
    spec: ClipSpec
    together: bool
    tables: Path
    rates: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)

    def turn(self, epoch: int) -> None:
        """Each film once, timed."""
        with kept_tables(self.tables):
            self._read(epoch)

    def _read(self, epoch: int) -> None:
        before, start = time.process_time(), time.perf_counter()
        for number, film in enumerate(self.films):
            generators = [np.random.default_rng([epoch, number, clip]) for clip in range(4)]
            for some in [generators] if self.together else [[each] for each in generators]:
                with open_video(film, threads=1) as reader:
                    clips = [
                        self.spec.training_indices(reader.frame_times, generator)[0].tolist()
                        for generator in some
                    ]
                    reader.clips(clips, short_side=self.spec.short_side)
        clips_read = 4 * len(self.films)
        self.rates.append(clips_read / (time.perf_counter() - start))
        self.processor_ms.append((time.process_time() - before) / clips_read * 1000)


def main() -> None:
    parsed = parse()
    end = time.monotonic() + parsed.seconds
    parsed.output.mkdir(parents=True, exist_ok=True)
    films = write_films(videos_under(parsed.sources), parsed.output / "films", FILMS)
    cells: dict[str, Any] = {}
    result = {
        "versions": {
            n: version(n) for n in ("av", "torchcodec", "decord", "pytorchvideo", "torch")
        },
        "films": [film.name for film in films],
        "encoder": ["libx264", OPTIONS],
        "workers": parsed.workers,
        "clip": "16 frames, every fourth",
        "cells": cells,
    }
    for number, side in enumerate(parsed.sides):
        until = time.monotonic() + (end - time.monotonic()) / (len(parsed.sides) - number)
        contestants = start(films, side, parsed)
        epoch = 1
        while epoch <= 3 or (epoch <= parsed.rounds and time.monotonic() < until):
            names = list(contestants)
            for name in names[epoch % len(names) :] + names[: epoch % len(names)]:
                contestants[name].turn(epoch)
            cells[f"{side} pixels"] = summary(contestants)
            write_json(parsed.output / "loader.json", result)  # what is done is kept
            epoch += 1
        del contestants
    show(cells)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/loader"))
    parser.add_argument(
        "--sources", type=Path, nargs="*", default=[], help="folders of videos to make films of"
    )
    parser.add_argument("--sides", type=int, nargs="*", default=[128, 256], help="pixels, squares")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=4, help="passes over the films in a turn")
    parser.add_argument("--rounds", type=int, default=25, help="at most; at least 3")
    parser.add_argument("--seconds", type=float, default=320, help="no new round after these")
    return parser.parse_args()


# -- who takes part ---------------------------------------------------------------------------


def start(
    films: list[Path], side: int, parsed: argparse.Namespace
) -> dict[str, Contestant | Reading]:
    """All contestants, their workers started and warm."""
    spec = ClipSpec(frames=16, frame_stride=4, short_side=side, crop_size=side)
    settings = {"batch_size": BATCH, "workers": parsed.workers, "repeat": parsed.repeat}
    fewer = settings | {"batch_size": 1, "repeat": max(parsed.repeat // 4, 1)}
    long = [film for film in films if has_long_groups(film)]
    if not long:
        raise SystemExit("--sources: expected a video without cuts among them, for long groups")
    makers: dict[str, Callable[[], DataLoader[Any]]] = {
        OURS: lambda: our_loader(films, spec, **settings),
        ONE: lambda: our_loader(long, spec, **settings),
        FOUR: lambda: our_loader(long, spec, clips=4, **fewer),
    }
    for threads in (1, 2):
        for name, kind in (("torchcodec", Torchcodec), ("decord", Decord)):
            makers[f"{name}, threads {threads}"] = lambda kind=kind, threads=threads: peer_loader(
                kind(films, spec, threads=threads), **settings
            )
    makers["pytorchvideo on decord"] = lambda: peer_loader(
        PyTorchVideo(films, spec, threads=1), **settings
    )

    def mapped() -> DataLoader[Any]:
        peer = Torchcodec(films, spec, threads=1)
        peer.mappings = frame_mappings(films)
        return peer_loader(peer, **settings)

    makers[KEEPS_INDEX] = mapped
    contestants: dict[str, Contestant | Reading] = {
        READ_ONE: Reading(long, spec, False, parsed.output / "no tables"),
        READ_FOUR: Reading(long, spec, True, parsed.output / "no tables"),
    }
    with kept_tables(parsed.output / "no tables"):
        contestants |= {name: started(make) for name, make in makers.items()}
    with kept_tables(parsed.output / "tables"):
        for film in films:
            with open_video(film) as reader:
                reader.keep_packet_table()
        contestants[INDEXED] = started(makers[OURS])
    return contestants


def has_long_groups(film: Path) -> bool:
    """Whether all key frames but the first are x264's own, 250 frames behind the one before."""
    with open_video(film) as reader:
        return bool((np.diff(reader.intra_frame_indices()) == 250).all())


def started(make: Callable[[], DataLoader[Any]]) -> Contestant:
    before = set(children())
    loader = make()
    clips = len(loader) * (loader.batch_size or 1) * loader.sampler.clips
    list(loader)  # starts the workers, which live on
    return Contestant(loader, clips, sorted(set(children()) - before))


def children() -> list[int]:
    return [int(n) for n in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@contextmanager
def kept_tables(folder: Path) -> Iterator[None]:
    """Readers, and workers started here, look for packet tables in this folder."""
    with patch.dict(os.environ, VIDATTN_CACHE=str(folder)):
        yield


# -- what came out ----------------------------------------------------------------------------


def summary(contestants: dict[str, Contestant | Reading]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, contestant in contestants.items():
        rows[name] = {
            "clips_per_second": float(np.median(contestant.rates)),
            "processor_ms_per_clip": float(np.median(contestant.processor_ms)),
            "rounds": contestant.rates,
            "processor_rounds": contestant.processor_ms,
        }
    ours = (OURS, INDEXED, ONE, FOUR, READ_ONE, READ_FOUR)
    peers = [name for name in contestants if name not in ours]
    plain = [name for name in peers if name != KEEPS_INDEX]
    ratios = {
        "ours ÷ best peer": compare(contestants, OURS, plain),
        "ours, indexed ÷ best peer with an index": compare(contestants, INDEXED, peers),
        "4 a decode ÷ four reads, by the loader": compare(contestants, FOUR, [ONE]),
        "4 a decode ÷ four reads, by a reader": compare(contestants, READ_FOUR, [READ_ONE]),
    }
    return {"contestants": rows, "ratios": ratios}


def compare(
    contestants: dict[str, Contestant | Reading], name: str, others: Sequence[str]
) -> dict[str, Any]:
    """Ratios of clips a second, and of clips a second of CPU time, round by round."""
    best = max(others, key=lambda other: float(np.median(contestants[other].rates)))
    one, two = contestants[name], contestants[best]
    return {
        "over": best,
        "clips_per_second": interval(np.divide(one.rates, two.rates)),
        "clips_per_processor_second": interval(np.divide(two.processor_ms, one.processor_ms)),
    }


def interval(ratios: np.ndarray) -> list[float]:
    """Median, and a 95 % bootstrap interval of it."""
    draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(draws, 1), [0.025, 0.975])
    return [float(np.median(ratios)), float(low), float(high)]


def show(cells: dict[str, Any]) -> None:
    for cell, result in cells.items():
        print(f"\n{cell}\n\n| loader | clips/s | CPU ms a clip |\n|---|---|---|")
        for name, row in result["contestants"].items():
            print(
                f"| {name} | {row['clips_per_second']:.1f} | {row['processor_ms_per_clip']:.1f} |"
            )
        print("\n| ratio | clips/s | clips per CPU second | over |\n|---|---|---|---|")
        for name, ratio in result["ratios"].items():
            figures = [
                "{:.2f} ({:.2f} – {:.2f})".format(*ratio[kind])
                for kind in ("clips_per_second", "clips_per_processor_second")
            ]
            print(f"| {name} | {figures[0]} | {figures[1]} | {ratio['over']} |")


if __name__ == "__main__":
    main()
