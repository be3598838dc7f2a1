"""Many small films for measurements of runs: copies of real ones, or drawn ones without these."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidattn.video import VideoWriter

SUFFIXES = {".mp4", ".avi", ".mkv", ".webm"}
DRAWN = 8


def small_films(sources: Path | None, scratch: Path, largest_bytes: int) -> list[Path]:
    """Films below a folder that are no larger than so many bytes; drawn ones if there are none.

    Args:
        sources: folder of real films; None for drawn ones.
        scratch: where drawn films are written.
        largest_bytes: of a film.
    """
    if sources is not None:
        found = [each for each in sorted(sources.rglob("*")) if each.suffix in SUFFIXES]
        if small := [each for each in found if each.stat().st_size <= largest_bytes]:
            return small
    scratch.mkdir(parents=True, exist_ok=True)
    return [_drawn(scratch / f"drawn-{seed}.mp4", seed) for seed in range(DRAWN)]


def copies(films: Sequence[Path], folder: Path, names: Sequence[str]) -> list[Path]:
    """Copies of the films, in turn, under these names; each file has bytes of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for place, name in enumerate(names):
        film = films[place % len(films)]
        made.append(folder / f"{name}{film.suffix}")
        shutil.copyfile(film, made[-1])
    return made


def _drawn(path: Path, seed: int) -> Path:
    """A second of a square that moves over a picture of noise."""
    random = np.random.default_rng(seed)
    ground = random.integers(0, 255, (48, 64, 3), np.uint8)
    with VideoWriter(path, fps=25.0, size=(48, 64)) as writer:
        for index in range(25):
            picture = ground.copy()
            picture[8:24, index : index + 16] = 255 - seed
            writer.write(picture)
    return path
