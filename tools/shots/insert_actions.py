"""Inserts one action each into quiet scenes: reels of which it is known when something happens.

    python tools/shots/insert_actions.py ../jhmdb/clips.csv runs/reels --films 120 --seed 0 \\
        --quiet match.mp4

Kinds of reel, in turns:

- `held`: the first frame of the clip is held, the clip follows, and its last frame is held: no cut.
- `still`: a frame of another source is held before the clip, and one of a third behind it.
- `pan`: the same with a window that moves slowly over these frames.
- `film`: the clip lies between parts of the film `--quiet`.

Held frames have noise like that of a sensor. The list needs the columns `path`, `label` and
`group`; no two reels show actions of one group, and seeds of different parity never share one.
Writes the reels and `actions.json`, which `vidattn evaluate --task keyframes` and
`vidattn score keyframes` read.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from join_shots import Pixels, fitted
from numpy.typing import NDArray
from rich.progress import track

from vidattn import open_video
from vidattn.files import write_json
from vidattn.video import VideoWriter

KINDS = ("held", "still", "pan", "film")
FPS, SIZE = 30, (240, 320)
QUIET_SECONDS = (2.0, 7.0)  # before the action, and behind it
NOISE = (1.0, 3.0)  # standard deviation of the grain, in grey levels
WINDOW, PAN_SHARE = 0.8, (0.3, 1.0)  # share of the picture that a window shows; way that it goes

Random = np.random.Generator


@dataclass(frozen=True)
class Clip:
    """One action, and the source that it was cut from."""

    path: Path
    label: str
    group: str

    def read(self) -> list[Pixels]:
        """Its frames at the reels' size."""
        with open_video(self.path) as reader:
            return [fitted(frames.array[0]) for frames in reader.chunks(frames_at_once=1)]


def read_clips(path: Path, seed: int) -> list[Clip]:
    """One clip of each group, of every second group, in the seed's order."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups: dict[str, list[Clip]] = {}
    for row in rows:
        clip = Clip(path.parent / row["path"], row["label"], row["group"])
        groups.setdefault(row["group"], []).append(clip)
    random = np.random.default_rng([seed, len(groups)])
    own = sorted(groups)[seed % 2 :: 2]
    return [
        groups[own[place]][int(random.integers(len(groups[own[place]])))]
        for place in random.permutation(len(own))
    ]


def grainy(pictures: Iterator[Pixels], random: Random) -> Iterator[Pixels]:
    """With noise that no two frames share."""
    deviation = random.uniform(*NOISE)
    for picture in pictures:
        grain = random.normal(0, deviation, picture.shape)
        yield (picture + grain).round().clip(0, 255).astype(np.uint8)


def held(picture: Pixels, count: int) -> Iterator[Pixels]:
    """The same picture again and again."""
    return (picture for _ in range(count))


def panned(picture: Pixels, count: int, random: Random) -> Iterator[Pixels]:
    """A window that moves over a picture, to less than a pixel."""
    way = (1 - WINDOW) * random.uniform(*PAN_SHARE) * random.choice([-1, 1], 2)
    middle = (1 - WINDOW) / 2
    for share in np.linspace(-0.5, 0.5, max(count, 2))[:count]:
        yield window(picture, middle + way[0] * share, middle + way[1] * share)


def window(picture: Pixels, top: float, left: float) -> Pixels:
    """A part of a picture at a place in [0, 1 − `WINDOW`], enlarged, between pixels linearly."""
    height, width = picture.shape[:2]
    rows = (top + WINDOW * np.arange(height) / height) * height
    columns = (left + WINDOW * np.arange(width) / width) * width
    down, right = rows % 1, columns % 1
    y, x = rows.astype(int), columns.astype(int)
    below, beside = np.minimum(y + 1, height - 1), np.minimum(x + 1, width - 1)
    values = picture.astype(np.float32)
    upper = _mixed(values[y][:, x], values[y][:, beside], right[None, :, None])
    lower = _mixed(values[below][:, x], values[below][:, beside], right[None, :, None])
    return _mixed(upper, lower, down[:, None, None]).round().astype(np.uint8)


def _mixed(
    one: NDArray[np.float32], other: NDArray[np.float32], share: NDArray[np.float64]
) -> NDArray[Any]:
    return one * (1 - share) + other * share


def quiet_part(film: Path, count: int, random: Random) -> Iterator[Pixels]:
    """A part of a film, at the reels' frame rate."""
    with open_video(film) as reader:
        step = reader.fps / FPS
        start = random.uniform(0, len(reader) - count * step)
        indices = (start + step * np.arange(count)).astype(int).clip(0, len(reader) - 1)
        for frames in reader.chunks(indices.tolist(), frames_at_once=16):
            for picture in frames.array:
                yield fitted(picture)


def quiet_scene(
    kind: str, own: Pixels, other: Clip, film: Path | None, count: int, random: Random
) -> Iterator[Pixels]:
    """What is before the action or behind it; `own` is the clip's frame next to it."""
    if kind == "film" and film is not None:
        yield from quiet_part(film, count, random)
        return
    if kind == "held":
        yield from grainy(held(own, count), random)
        return
    frames = other.read()
    picture = frames[int(random.integers(len(frames)))]
    pictures = panned(picture, count, random) if kind == "pan" else held(picture, count)
    yield from grainy(pictures, random)


def write_reel(
    path: Path, kind: str, clip: Clip, others: Sequence[Clip], film: Path | None, random: Random
) -> tuple[int, int, int]:
    """Write one reel; returns its frames, the action's first one, and the one behind its last."""
    before, behind = (round(each * FPS) for each in random.uniform(*QUIET_SECONDS, 2))
    action = clip.read()
    with VideoWriter(path, fps=FPS, size=SIZE, crf=23, preset="veryfast") as writer:
        for picture in quiet_scene(kind, action[0], others[0], film, before, random):
            writer.write(picture)
        for picture in action:
            writer.write(picture)
        for picture in quiet_scene(kind, action[-1], others[1], film, behind, random):
            writer.write(picture)
        return writer.frames_written, before, before + len(action)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, help="CSV with the columns path, label and group")
    parser.add_argument("output", type=Path)
    parser.add_argument("--quiet", type=Path, help="film; without it there is no such kind")
    parser.add_argument("--films", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    clips = read_clips(given.clips, given.seed)
    if given.films > len(clips):
        raise SystemExit(f"--films: expected at most {len(clips)}, one a group, got {given.films}")
    kinds = KINDS if given.quiet else KINDS[:-1]
    given.output.mkdir(parents=True, exist_ok=True)
    reels = []
    for number in track(range(given.films), description="reels"):
        random = np.random.default_rng([given.seed, number])
        kind, clip = kinds[number % len(kinds)], clips[number]
        rest = [each for each in clips if each is not clip]
        others = [rest[int(place)] for place in random.choice(len(rest), 2, replace=False)]
        name = f"{kind}{number:03d}.mp4"
        path = given.output / name
        frames, start, end = write_reel(path, kind, clip, others, given.quiet, random)
        tube = {"label": clip.label, "start_frame": start, "end_frame": end}
        reels.append({"file": name, "group": clip.group, "frames": frames, "tubes": [tube]})
    write_json(given.output / "actions.json", {"videos": reels})


if __name__ == "__main__":
    main()
