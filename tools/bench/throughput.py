"""Key frames and features of many short films, beside plain loops over torchcodec and FFmpeg.

    python tools/bench/throughput.py ten_seconds/ --films 1000 --output throughput.json

Three tasks: `--count` evenly spread pictures of each film as JPEG; features of a small network; and
features of an R(2+1)D-18 with random weights, where the network takes nearly all the time. Each
contestant is one process for the whole list, with one thread for the decoder and for torch, and
writes one file or folder a film. The pictures are the same frames for all, and the features are
those of the same windows. FFmpeg is run once a film.

The contestants take turns. Imports are part of their time. A film that is given fewer times than
`--films` is copied under other names. With `--processes 2`, ours is run with 1 and 2 processes too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from processes import Cost, adopt_orphans, measured

from vidattn.files import write_json

SUFFIXES = {".mp4", ".mkv", ".avi", ".mov", ".webm"}
QUALITY = 90
NETWORKS = {
    "small": {"widths": [8, 16], "spatial_strides": [2, 2], "temporal_strides": [1, 1]},
    "r2plus1d_18": {},
}
PLAIN_LOOPS = Path(__file__).with_name("plain_loops.py")


def write_checkpoint(path: Path, network: str) -> None:
    """A network with random weights that looks at 16 frames of 112 x 112."""
    import torch

    from vidattn.data import ClipSpec
    from vidattn.models import Recogniser, RecogniserSpec, save

    torch.manual_seed(0)
    spec = RecogniserSpec(classes=["a", "b"], backbone_settings=NETWORKS[network])
    if network != "small":
        spec = RecogniserSpec(classes=["a", "b"], backbone=network)
    save(path, Recogniser(spec), ClipSpec(frames=16, frame_stride=2, short_side=128, crop_size=112))


def commands(
    films: Path, checkpoint: Path | None, count: int, processes: Sequence[int]
) -> dict[str, Callable[[Path], list[str]]]:
    """The command line of each contestant, which writes into a new folder."""
    vidattn = str(Path(sys.executable).with_name("vidattn"))
    own = ["--threads", "1", "--processes"]
    loop = [sys.executable, str(PLAIN_LOOPS)]
    if checkpoint is None:
        ours = [vidattn, "keyframes", str(films), "--score", "uniform", "--count", str(count)]
        ours += ["--quality", str(QUALITY)]
        task = ["pictures", str(films), "--count", str(count), "--quality", str(QUALITY)]
    else:
        ours = [vidattn, "features", str(checkpoint), "--data", str(films)]
        task = ["features", str(films), "--checkpoint", str(checkpoint)]
    found: dict[str, Callable[[Path], list[str]]] = {}
    for number in processes:
        name = "vidattn" if number == 1 else f"vidattn, {number} processes"
        found[name] = lambda folder, n=number: [*ours, *own, str(n), "--output", str(folder)]  # type: ignore[misc]
    for name in ("torchcodec", "ffmpeg"):
        found[name] = lambda folder, n=name: [*loop, *task, "--with", n, "--output", str(folder)]  # type: ignore[misc]
    return found


def copied(folder: Path, count: int, target: Path) -> Path:
    """So many films, copies under other names where the folder has fewer."""
    films = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if not films:
        raise SystemExit(f"{folder}: no film found")
    target.mkdir()
    for number in range(count):
        film = films[number % len(films)]
        shutil.copy2(film, target / f"{number:05d}{film.suffix}")
    return target


def frames_written(folder: Path) -> dict[str, list[int]]:
    """Frames of the pictures of each film; empty where a contestant writes none."""
    record = folder / "keyframes.json"
    if not record.exists():
        return {}
    content = json.loads(record.read_text())
    return {
        Path(video["video"]).stem: [frame["frame_index"] for frame in video["frames"]]
        for video in content["videos"]
    }


def rows_of(
    task: str, film_count: int, runs: Mapping[str, Sequence[Cost]]
) -> list[dict[str, object]]:
    """What is printed of a task: medians, least and most over rounds."""
    rows: list[dict[str, object]] = []
    for name, own in runs.items():
        row: dict[str, object] = {"task": task, "contestant": name}
        rates = [film_count / run.cpu_seconds for run in own]
        row["videos_per_second_and_core"] = [statistics.median(rates), min(rates), max(rates)]
        rates = [film_count / run.wall_seconds for run in own]
        row["videos_per_second"] = [statistics.median(rates), min(rates), max(rates)]
        ratios = [
            other.cpu_seconds / run.cpu_seconds
            for run, other in zip(runs["vidattn"], own, strict=True)
        ]
        row["cpu_ratio_to_vidattn"] = [statistics.median(ratios), min(ratios), max(ratios)]
        row["runs"] = [asdict(run) for run in own]
        rows.append(row)
    return rows


def all_measured(
    task: str,
    contestants: Mapping[str, Callable[[Path], list[str]]],
    rounds: int,
    check: Callable[[Mapping[str, Path]], None],
) -> dict[str, list[Cost]]:
    """All contestants in turn, and a check of what they wrote first."""
    runs: dict[str, list[Cost]] = {name: [] for name in contestants}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as base:
            folders = {name: Path(base) / str(n) for n, name in enumerate(contestants)}
            for name, command in contestants.items():
                runs[name].append(measured(command(folders[name])))
                print(f"{task}, round {turn + 1}: {name} {runs[name][-1]}", file=sys.stderr)
            if not turn:
                check(folders)
    return runs


def same_frames(folders: Mapping[str, Path]) -> None:
    """All contestants wrote the same frames."""
    found = {name: frames_written(folder) for name, folder in folders.items()}
    if len({json.dumps(each, sort_keys=True) for each in found.values()}) > 1:
        raise SystemExit("the contestants wrote different frames")


def same_features(folders: Mapping[str, Path]) -> None:
    """All contestants computed nearly the same features: they resize in different ways."""
    import numpy as np

    ours = folders["vidattn"]
    for name, folder in folders.items():
        for path in sorted(ours.glob("*.npz")):
            expected = np.load(path)["features"]
            given = np.load(folder / path.name)["features"]
            if given.shape != expected.shape:
                raise SystemExit(f"{name}: {path.stem} has other windows")
            alike = np.corrcoef(given.ravel(), expected.ravel())[0, 1]
            if alike < 0.99:
                raise SystemExit(f"{name}: the features of {path.stem} differ")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="films")
    parser.add_argument("--films", type=int, default=1000)
    parser.add_argument("--count", type=int, default=8, help="pictures a film")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1])
    parser.add_argument("--tasks", nargs="+", default=["pictures", *NETWORKS])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    processes = sorted({1, *arguments.processes})
    adopt_orphans()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as base:
        films = copied(arguments.folder, arguments.films, Path(base) / "films")
        for task in arguments.tasks:
            checkpoint = None if task == "pictures" else Path(base) / f"{task}.ckpt"
            if checkpoint:
                write_checkpoint(checkpoint, task)
            contestants = commands(films, checkpoint, arguments.count, processes)
            check = same_features if checkpoint else same_frames
            runs = all_measured(task, contestants, arguments.rounds, check)
            rows += rows_of(task, arguments.films, runs)
    print("task | contestant | videos/s and core | videos/s | CPU time, ours = 1")
    for row in rows:
        spread = [
            "{:.2f} [{:.2f}, {:.2f}]".format(*row[key])  # type: ignore[misc]
            for key in ("videos_per_second_and_core", "videos_per_second", "cpu_ratio_to_vidattn")
        ]
        print(" | ".join([str(row["task"]), str(row["contestant"]), *spread]))
    if arguments.output:
        write_json(arguments.output, {"films": arguments.films, "rows": rows})


if __name__ == "__main__":
    main()
