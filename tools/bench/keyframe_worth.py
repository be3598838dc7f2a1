"""What key frames without a model are worth, beside those of other tools, at the same number.

    python tools/bench/keyframe_worth.py films/truth.json --peers-python ../peers/bin/python \\
        --output runs/worth

TRUTH.json is what `tools/shots/join_shots.py` writes, with the films beside it; a file that is no
JSON is a film of unknown shots. The count is the number of shots (of unknown ones: 8). Figures:

- shots: share of the film's shots that have a key frame inside them.
- distance: mean cosine distance of a frame of the film to the nearest key frame, in the features
  of EfficientNet-Lite0 trained on ImageNet, which chooses nothing.
- copies: share of key frames that an earlier one resembles to within `SAME` of this distance.
- poor: share that is blank, or has less than a third of the gradient energy of its shot.
- between: share inside gradual transitions.

Differences are paired by film, and their 95 % intervals resample films. What other tools choose is
kept below the output folder, and so are features.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from keyframe_choices import peer_choices
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vidattn
from vidattn import backbones, open_video, selection
from vidattn.evaluation import Interval, bootstrap_mean, paired_difference
from vidattn.files import write_csv, write_json

FIGURES = ("shots", "distance", "copies", "poor", "between")
RANDOM_SEEDS = 10
SAME = 0.05
SHORT_SIDE = 128
UNKNOWN_SHOTS_COUNT = 8
BLANK_CONTRAST, POOR_SHARE = 4.0, 1 / 3

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Film:
    """A film, and what is known of it.

    Attributes:
        features: (T, D), of length 1; contrast, gradients: (T,) of the brightness.
        shots: (V, 2) first frame, and the frame behind the last; empty if unknown.
        count: key frames wanted.
    """

    path: Path
    features: Floats
    contrast: Floats
    gradients: Floats
    seconds: NDArray[np.float64]
    shots: NDArray[np.int64]
    count: int

    def shot_numbers(self) -> NDArray[np.int64]:
        """(T,) the shot of each frame, −1 between two; stretches of 2 s where none is known."""
        if not len(self.shots):
            return (self.seconds // 2).astype(np.int64)
        numbers = np.full(len(self.features), -1)
        for number, (start, end) in enumerate(self.shots):
            numbers[start:end] = number
        return numbers


def read_film(path: Path, truth: Mapping[str, Any] | None, kept: Path) -> Film:
    """Look at every frame, or at what an earlier call kept."""
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        network = backbones.build("efficientnet_lite0", weights="DEFAULT").eval()
        with open_video(path) as reader:
            parts = [
                look(frames.array, network)
                for frames in reader.chunks(frames_at_once=32, short_side=SHORT_SIDE)
            ]
            seconds = reader.frame_times.seconds
        looks = [np.concatenate(each) for each in zip(*parts, strict=True)]
        np.savez(kept, features=looks[0], contrast=looks[1], gradients=looks[2], seconds=seconds)
    found = dict(np.load(kept))
    shots = np.empty((0, 2), np.int64) if truth is None else known_shots(truth)
    return Film(path, **found, shots=shots, count=len(shots) or UNKNOWN_SHOTS_COUNT)


def look(frames: NDArray[np.uint8], network: backbones.Backbone) -> tuple[Floats, Floats, Floats]:
    """Features, contrast and gradient energy of frames (T, H, W, 3)."""
    light = frames @ np.array([0.299, 0.587, 0.114], np.float32)
    down, right = np.diff(light, axis=1)[:, :, 1:], np.diff(light, axis=2)[:, 1:]
    mean, std = (np.array(each, np.float32) for each in (network.mean, network.std))
    clip = torch.from_numpy((frames / np.float32(255) - mean) / std).permute(3, 0, 1, 2)[None]
    with torch.inference_mode():
        features = network.features(clip, ["stage5"])["stage5"].mean((3, 4))[0].T.numpy()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features, light.std(axis=(1, 2)), (down**2 + right**2).mean(axis=(1, 2))


def known_shots(truth: Mapping[str, Any]) -> NDArray[np.int64]:
    """(V, 2) bounds of shots; frames of gradual transitions belong to none."""
    marks = [(cut, cut + 1) for cut in truth["hard_cuts"]]
    marks += [(first - 1, last + 1) for first, last in truth["gradual"]]
    bounds = selection.shot_bounds(sorted(marks), truth["frames"])
    return bounds[bounds[:, 1] > bounds[:, 0]]


def own_choices(film: Film) -> dict[str, list[list[int]]]:
    """Contestant -> its frames, several sets for random ones."""
    total, count = len(film.features), film.count
    with open_video(film.path) as reader:
        chunks = [each.array for each in reader.chunks(frames_at_once=64, short_side=64)]
        positions, gap = reader.frame_times.apart(0.5)
    gaps: dict[str, Any] = {"minimum_gap": gap, "positions": positions}
    difference = selection.difference_scores(chunks)
    sketch = selection.sketch_frames(chunks)
    generators = [np.random.default_rng(seed) for seed in range(RANDOM_SEEDS)]
    found: dict[str, list[Any]] = {
        "default": [key_frames(film.path, count=count)],
        "--fast": [key_frames(film.path, count=count, fast=True)],
        "coverage": [selection.cover_frames(sketch, count, **gaps)],
        "difference": [selection.select_frames(difference, count, **gaps)],
        "uniform": [selection.uniform_frames(total, count)],
        "random": [selection.random_frames(total, count, each) for each in generators],
    }
    return {name: [[int(n) for n in each] for each in sets] for name, sets in found.items()}


def key_frames(path: Path, **settings: Any) -> list[int]:
    """As `vidattn keyframes` gives them."""
    return [each.frame_index for each in vidattn.extract_keyframes(path, **settings).frames]


def figures(film: Film, chosen: Sequence[int]) -> dict[str, float]:
    """What the module says; shots and between are left out where shots are unknown."""
    picks = np.array(chosen)
    if len(set(chosen)) != film.count:
        raise SystemExit(f"{film.path}: expected {film.count} frames, got {sorted(chosen)}")
    numbers = film.shot_numbers()
    far = 1 - film.features @ film.features[picks].T
    copies = np.triu(far[picks] < SAME, 1).any(axis=0)
    usual = [float(np.median(film.gradients[numbers == numbers[each]])) for each in picks]
    blurred = film.gradients[picks] < POOR_SHARE * np.array(usual)
    found = {
        "distance": float(far.min(axis=1).mean()),
        "copies": float(copies.mean()),
        "poor": float((blurred | (film.contrast[picks] < BLANK_CONTRAST)).mean()),
    }
    if len(film.shots):
        inside = np.unique(numbers[picks][numbers[picks] >= 0])
        found["shots"] = len(inside) / len(film.shots)
        found["between"] = float((numbers[picks] < 0).mean())
    return found


def films(truths: Sequence[Path], folder: Path) -> Iterator[Film]:
    """Every film of the lists."""
    for path in truths:
        if path.suffix != ".json":
            yield read_film(path, None, folder / "features" / f"{path.stem}.npz")
            continue
        for name, truth in json.loads(path.read_text(encoding="utf-8"))["videos"].items():
            kept = folder / "features" / path.parent.name / f"{name}.npz"
            yield read_film(path.parent / name, truth, kept)


def measure(film: Film, folder: Path, peers: Path | None) -> dict[str, Any]:
    """Figures of every contestant on one film."""
    choices = own_choices(film)
    kept = folder / "peers" / film.path.parent.name / f"{film.path.name}.json"
    if peers is not None:
        if not kept.exists():
            found = peer_choices(film.path, len(film.features), film.count, peers)
            write_json(kept, {"count": film.count, "frames": found})
        choices |= {name: [own] for name, own in json.loads(kept.read_text())["frames"].items()}
    means = {}
    for name, sets in choices.items():
        each = [figures(film, chosen) for chosen in sets]
        means[name] = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
    return {
        "film": film.path.name,
        "count": film.count,
        "frames": {name: sets[0] for name, sets in choices.items()},
        "figures": means,
    }


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Figure -> contestant -> mean, and the default minus it, over films."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for figure in FIGURES:
        own = [row["figures"] for row in rows if figure in row["figures"]["default"]]
        if len(own) < 2:
            continue
        values = {name: [each[name][figure] for each in own] for name in own[0]}
        found[figure] = {
            name: {
                "mean": bootstrap_mean(each, seed=0)._asdict(),
                "default_minus": paired_difference(values["default"], each, seed=0)._asdict(),
            }
            for name, each in values.items()
        }
    return found


def show(summary: Mapping[str, Mapping[str, Mapping[str, Any]]], films_count: int) -> None:
    """A table in Markdown: means, and the default minus each contestant with its interval."""
    table = Table(f"{films_count} films", *summary, box=box.MARKDOWN)
    for name in next(iter(summary.values())):
        cells = []
        for figure, own in summary.items():
            mean, minus = own[name]["mean"]["mean"], Interval(**own[name]["default_minus"])
            scale = 1000 if figure == "distance" else 100
            values = " … ".join(f"{each * scale:+.1f}" for each in (minus.low, minus.high))
            cells.append(f"{mean * scale:.1f} ({values})")
        table.add_row(name, *cells)
    console = Console(width=200)
    console.print(table)
    console.print("per cent, distance × 1000; in brackets the default minus it, 95 %")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truths", type=Path, nargs="+", metavar="TRUTH.json")
    parser.add_argument("--peers-python", type=Path, help="without it, other tools are left out")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        measure(film, given.output, given.peers_python)
        for film in track(films(given.truths, given.output), description="films", transient=True)
    ]
    summary = summarise(rows)
    write_json(given.output / "worth.json", {"same": SAME, "summary": summary, "films": rows})
    write_csv(
        given.output / "worth.csv",
        ("film", "count", "contestant", *FIGURES),
        [
            (row["film"], row["count"], name, *(own.get(figure, "") for figure in FIGURES))
            for row in rows
            for name, own in row["figures"].items()
        ],
    )
    show(summary, len(rows))


if __name__ == "__main__":
    main()
