"""What key frames without a model are worth, and what they cost.

    python tools/bench_keyframes.py ../shared/data/shots --speed a.mp4 --output runs/keys.json

The folder holds films and `joined_shots.json`, their shots. Each film is looked at as it is, and
faded in from 20 black frames. With as many key frames as there are shots: the share of shots that
have one, and how many lie in a transition, in black or in the fade. Contestants: the default,
`fast`, uniform frames, and with `--earlier DIR` the default of an earlier checkout. CPU seconds of
the whole process but its imports, the least of the rounds, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vidattn import open_video, selection
from vidattn.files import write_json
from vidattn.video import VideoWriter

BLACK_FRAMES, FADE_FRAMES = 20, 25
CHILD = """
import contextlib, importlib, json, sys, time
import av, vidattn
vidattn.extract_keyframes
for name in ("video.readers.pyav_reader", "inference.keyframe_coverage", "selection.picks",
             "selection.coverage", "selection.shots", "selection.frames"):
    with contextlib.suppress(ImportError):
        importlib.import_module("vidattn." + name)
start = time.process_time()
found = vidattn.extract_keyframes(sys.argv[1], **json.loads(sys.argv[2]))
print(json.dumps({"cpu_seconds": time.process_time() - start,
                  "frames": [each.frame_index for each in found.frames]}))
"""


def extracted(film: Path, settings: Mapping[str, Any], checkout: Path, rounds: int = 1) -> Any:
    """Key frames and CPU seconds of a checkout's own process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", CHILD, str(film.resolve()), json.dumps(dict(settings))]
    runs = [
        json.loads(subprocess.check_output(command, env=environment, text=True, cwd=checkout))
        for _ in range(rounds)
    ]
    return min(runs, key=lambda run: run["cpu_seconds"])


def spans(truth: Mapping[str, Any]) -> list[tuple[int, int]]:
    """First frame of each shot that fills one by itself, and the frame behind its last."""
    marks = [(cut, cut + 1) for cut in truth["hard_cuts"]]
    marks += [(first - 1, last + 1) for first, last in truth["gradual"]]
    bounds = selection.shot_bounds(sorted(marks), truth["frames"]).tolist()
    return [(start, end) for start, end in bounds if end > start]


def fade_in(film: Path, target: Path) -> int:
    """The film behind black frames, faded in; returns how many frames are black or half faded."""
    with open_video(film) as reader, VideoWriter(target, fps=25, size=reader.size) as writer:
        for _ in range(BLACK_FRAMES):
            writer.write(np.zeros((*reader.size, 3), np.uint8))
        for number, frame in enumerate(reader):
            share = min(1.0, (number + 1) / (FADE_FRAMES + 1))
            writer.write((frame.array[0] * share).astype(np.uint8))
    return BLACK_FRAMES + FADE_FRAMES // 2


def score(frames: list[int], shots: list[tuple[int, int]], shift: int, poor: int) -> dict[str, int]:
    """Shots with a frame; frames in no shot; frames in black or the first half of the fade."""
    own = [frame - shift for frame in frames]
    inside = [sum(start <= frame < end for frame in own) for start, end in shots]
    return {
        "shots": len(shots),
        "shots_with_a_frame": sum(count > 0 for count in inside),
        "in_transitions": sum(frame >= 0 for frame in own) - sum(inside),
        "black_or_faded": sum(frame < poor for frame in frames),
    }


def contestants(arguments: argparse.Namespace) -> dict[str, tuple[dict[str, Any], Path]]:
    """Name -> settings and checkout."""
    here = Path(__file__).resolve().parents[1]
    found: dict[str, tuple[dict[str, Any], Path]] = {"default": ({}, here)}
    found["fast"] = ({"fast": True}, here)
    if arguments.earlier:
        found["earlier"] = ({}, arguments.earlier.resolve())
    return found


def worth(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each film, plain and faded in, and contestant."""
    folder: Path = arguments.folder
    truths = json.loads((folder / "joined_shots.json").read_text())["videos"]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for name, truth in truths.items():
        shots = spans(truth)
        faded = arguments.output.parent / f"faded_{name}"
        for film, shift, poor in ((folder / name, 0, 0), (faded, BLACK_FRAMES, -1)):
            if poor:
                poor = fade_in(folder / name, film)
            total = truth["frames"] + shift
            for method, (settings, checkout) in contestants(arguments).items():
                found = extracted(film, {**settings, "count": len(shots)}, checkout)
                row = score(found["frames"], shots, shift, poor)
                yield {"film": film.name, "method": method, **row}
            uniform = selection.uniform_frames(total, len(shots)).tolist()
            yield {"film": film.name, "method": "uniform", **score(uniform, shots, shift, poor)}
        faded.unlink()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--speed", type=Path, nargs="*", default=[])
    parser.add_argument("--earlier", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = []
    print("film | method | shots with a frame | in transitions | black or half faded")
    for row in worth(arguments):
        rows.append(row)
        print(f"{row['film']} | {row['method']} | {row['shots_with_a_frame']} of {row['shots']} | "
              f"{row['in_transitions']} | {row['black_or_faded']}", flush=True)  # fmt: skip
    speed = []
    for film in arguments.speed:
        for method, (settings, checkout) in contestants(arguments).items():
            found = extracted(film, {**settings, "count": 8}, checkout, arguments.rounds)
            speed.append({"film": film.name, "method": method, **found})
            print(f"{film.name} | {method} | {found['cpu_seconds']:.2f} CPU s", flush=True)
    write_json(arguments.output, {"worth": rows, "speed": speed})


if __name__ == "__main__":
    main()
