"""Joins clips into films whose shot boundaries are known to the frame, easy and hard ones.

    python tools/shots/join_shots.py ../clips/clips.csv runs/joined --films 66 --seed 0

Kinds of film, in turns: `plain`; `flash` (one to three bright frames inside shots); `pan` (a window
moves fast over a still picture); `noise` (strong grain); `sports` (cuts between two views of the
same scene: another part of it, larger); `mixed`. A boundary is a cut (60 %), a dissolve, a fade
through black or white, or a wipe of 6 to 24 frames. The list needs the columns `path` and `group`:
clips of one group never meet. Writes the films and `truth.json`, which `vidattn score shots` reads.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from vidattn import open_video
from vidattn.files import write_json
from vidattn.video import VideoWriter

KINDS = ("plain", "flash", "pan", "noise", "sports", "mixed")
SIZE = (240, 320)
FPS = 25
SHOTS = (12, 20)
SHOT_FRAMES = (18, 90)
CUT_SHARE = 0.6
GRADUAL_FRAMES = (6, 24)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """One clip that shots are taken from."""

    path: Path
    group: str


@dataclass
class Film:
    """Frames so far, and where shots end in them."""

    frames: list[Pixels] = field(default_factory=list)
    hard_cuts: list[int] = field(default_factory=list)
    gradual: list[tuple[int, int]] = field(default_factory=list)

    def join(self, shot: Sequence[Pixels], blend: Sequence[Pixels] | None) -> None:
        """Add a shot behind a cut, or behind the frames that lead over to it."""
        if self.frames and blend is None:
            self.hard_cuts.append(len(self.frames) - 1)
        if blend is not None:
            self.gradual.append((len(self.frames), len(self.frames) + len(blend) - 1))
            self.frames += blend
        self.frames += shot


def read_clips(path: Path, column: str) -> list[Clip]:
    """The clips of a list, by its columns `path` and a group's."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [Clip(path.parent / row["path"], row[column]) for row in rows]


def read_shot(clip: Clip, random: np.random.Generator) -> list[Pixels]:
    """A run of a clip's frames, all of one size; never longer than the clip."""
    with open_video(clip.path) as reader:
        length = min(int(random.integers(*SHOT_FRAMES)), len(reader))
        start = int(random.integers(len(reader) - length + 1))
        frames = reader.frames_at(range(start, start + length))
        rows = frames.pixels.permute(0, 2, 3, 1).numpy()
    return [fitted(row) for row in rows]


def fitted(pixels: Pixels) -> Pixels:
    """The middle of a picture at the films' size, by nearest neighbours."""
    height, width = pixels.shape[:2]
    scale = min(height / SIZE[0], width / SIZE[1])
    rows = ((height - SIZE[0] * scale) / 2 + (np.arange(SIZE[0]) + 0.5) * scale).astype(int)
    columns = ((width - SIZE[1] * scale) / 2 + (np.arange(SIZE[1]) + 0.5) * scale).astype(int)
    return pixels[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]


def window(pixels: Pixels, scale: float, x: float, y: float) -> Pixels:
    """The part of a picture that is `scale` of it, at a place in [0, 1] × [0, 1], enlarged."""
    height, width = round(SIZE[0] * scale), round(SIZE[1] * scale)
    top, left = round(y * (SIZE[0] - height)), round(x * (SIZE[1] - width))
    return fitted(pixels[top : top + height, left : left + width])


def flash(shot: list[Pixels], random: np.random.Generator) -> list[Pixels]:
    """One to three frames inside become nearly white."""
    if len(shot) < 12:
        return shot
    length, start = int(random.integers(1, 4)), int(random.integers(4, len(shot) - 7))
    for number in range(start, start + length):
        shot[number] = (255 - (255 - shot[number].astype(np.int16)) // 4).astype(np.uint8)
    return shot


def pan(shot: list[Pixels], random: np.random.Generator) -> list[Pixels]:
    """A window runs over the shot's first picture, from one side to the other."""
    steps = np.linspace(0, 1, len(shot))
    if random.random() < 0.5:
        steps = steps[::-1]
    y = random.random()
    return [window(shot[0], 0.5, x, y) for x in steps]


def noise(shot: list[Pixels], random: np.random.Generator) -> list[Pixels]:
    """Grain that no two frames share."""
    grain = random.normal(0, 14, (len(shot), *SIZE, 1))
    return [
        (each + one).clip(0, 255).astype(np.uint8) for each, one in zip(shot, grain, strict=True)
    ]


DISTURBANCES: dict[str, Callable[[list[Pixels], np.random.Generator], list[Pixels]]] = {
    "flash": flash,
    "pan": pan,
    "noise": noise,
}


def disturbed(kind: str, shot: list[Pixels], random: np.random.Generator) -> list[Pixels]:
    """A shot as films of its kind have it: about half of them are as they were."""
    if kind == "mixed":
        kind = str(random.choice(list(DISTURBANCES)))
    if kind not in DISTURBANCES or random.random() < 0.4:
        return shot
    return DISTURBANCES[kind](shot, random)


def shots(clips: Sequence[Clip], kind: str, random: np.random.Generator) -> Iterator[list[Pixels]]:
    """The shots of one film; neighbours are of other groups, but for views of one scene."""
    group = ""
    left = int(random.integers(*SHOTS))
    while left > 0:
        others = [clip for clip in clips if clip.group != group]
        clip = others[int(random.integers(len(others)))]
        group = clip.group
        whole = read_shot(clip, random)
        if kind in ("sports", "mixed") and random.random() < 0.6 and len(whole) >= 36:
            half = len(whole) // 2
            x = random.random()
            yield whole[:half]
            yield [window(each, 0.5, x, random.random() * 0.2 + 0.4) for each in whole[half:]]
            left -= 2
        else:
            yield disturbed(kind, whole, random)
            left -= 1


def lead_over(
    old: Sequence[Pixels], new: Sequence[Pixels], random: np.random.Generator
) -> tuple[Sequence[Pixels], Sequence[Pixels], Sequence[Pixels]] | None:
    """What is left of two shots, and the frames between them; None for a cut."""
    length = int(random.integers(*GRADUAL_FRAMES))
    if random.random() < CUT_SHARE or min(len(old), len(new)) < length + 8:
        return None
    before, after = np.stack(old[-length:]), np.stack(new[:length])
    shares = ((np.arange(length) + 1) / (length + 1))[:, None, None, None]
    kind = random.choice(["dissolve", "dissolve", "fade", "wipe"])
    if kind == "dissolve":
        between = before * (1 - shares) + after * shares
    elif kind == "fade":
        ground = 255.0 * (random.random() < 0.2)
        out, into = np.maximum(1 - 2 * shares, 0), np.maximum(2 * shares - 1, 0)
        between = before * out + after * into + ground * (1 - out - into)
    else:
        edge = np.arange(SIZE[1])[None, None, :, None] < shares * SIZE[1]
        between = np.where(edge, after, before)
    return old[:-length], new[length:], list(between.round().astype(np.uint8))


def make_film(clips: Sequence[Clip], kind: str, random: np.random.Generator) -> Film:
    """One film of joined shots."""
    film = Film()
    waiting: Sequence[Pixels] = []
    blend: Sequence[Pixels] | None = None
    for shot in shots(clips, kind, random):
        led = lead_over(waiting, shot, random) if waiting else None
        if waiting:
            film.join(led[0] if led else waiting, blend)
        waiting, blend = (led[1], led[2]) if led else (shot, None)
    film.join(waiting, blend)
    return film


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, help="CSV with the columns path and group")
    parser.add_argument("output", type=Path)
    parser.add_argument("--group", default="group", help="name of the groups' column")
    parser.add_argument("--films", type=int, default=66)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    clips = read_clips(given.clips, given.group)
    given.output.mkdir(parents=True, exist_ok=True)
    truth = {}
    for number in track(range(given.films), description="films"):
        kind = KINDS[number % len(KINDS)]
        film = make_film(clips, kind, np.random.default_rng([given.seed, number]))
        name = f"{kind}{number:03d}.mp4"
        with VideoWriter(given.output / name, fps=FPS, size=SIZE, crf=23) as writer:
            for frame in film.frames:
                writer.write(frame)
        truth[name] = {
            "frames": len(film.frames),
            "hard_cuts": film.hard_cuts,
            "gradual": film.gradual,
        }
    write_json(given.output / "truth.json", {"videos": truth})


if __name__ == "__main__":
    main()
