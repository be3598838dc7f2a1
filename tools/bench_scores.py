"""Times our scorers and the published ones on the same files of the size of real data sets.

    python tools/bench_scores.py --checkouts peers --scale 0.1 --output runs/scores.json

`peers` holds the repositories ActivityNet, OpenTAD, SlowFast, mmaction2 and
Object-Detection-Metrics; what is missing is passed over. Both scorers start from the files, take
turns, and run in a process of their own; CPU seconds are counted, the least of the rounds. At
scale 1 AVA has 57,000 frames and ActivityNet 4,926 videos, and the slowest published scorers take
many minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from compare_scores import COMPARISONS, difference
from score_peers import numbers

CHECKOUTS = {
    "ava-official": "ActivityNet",
    "ava-pyslowfast": "SlowFast",
    "ava-mmaction2": "mmaction2",
    "activitynet-detection": "ActivityNet",
    "opentad-detection": "OpenTAD",
    "activitynet-proposals": "ActivityNet",
    "opentad-proposals": "OpenTAD",
    "boxes-voc": "Object-Detection-Metrics",
    "boxes-coco": "",
}


def main() -> int:
    arguments = _arguments()
    records = []
    print(f"{'scorer':24} {'rows':>9} {'theirs, s':>10} {'ours, s':>9} {'ratio':>7} difference")
    context = multiprocessing.get_context("spawn")
    for peer in arguments.peers or CHECKOUTS:
        checkout = arguments.checkouts / CHECKOUTS[peer]
        if not checkout.is_dir():
            print(f"{peer:24} no checkout at {checkout}")
            continue
        # Published scorers have modules of the same names: each in a fresh process.
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            work = (peer, checkout, arguments.scale, arguments.rounds, arguments.ours_only)
            record = pool.submit(measured, *work).result()
        records.append(record)
        print(shown(record), flush=True)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return 0


def shown(record: dict[str, Any]) -> str:
    theirs = record["theirs_seconds"]
    if theirs is None:
        return f"{record['peer']:24} {record['rows']:9} {'–':>10} {record['ours_seconds']:9.2f}"
    return (
        f"{record['peer']:24} {record['rows']:9} {theirs:10.2f} {record['ours_seconds']:9.2f} "
        f"{record['ratio']:7.1f} {record['difference']:.1e}"
    )


def measured(
    peer: str, checkout: Path, scale: float, rounds: int, ours_only: bool
) -> dict[str, Any]:
    """One scorer against ours: least CPU seconds of the rounds, and how far apart they are."""
    comparison = COMPARISONS[peer]
    contestants = {"ours": comparison.ours}
    if not ours_only:
        contestants["theirs"] = comparison.load(checkout)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    found: dict[str, list[float | None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files, rows = problem(peer, Path(folder), scale)
        for _ in range(rounds):
            for name, run in contestants.items():
                started = time.process_time()
                found[name] = numbers(run(files))
                seconds[name].append(time.process_time() - started)
    ours = min(seconds["ours"])
    theirs = None if ours_only else min(seconds["theirs"])
    return {
        "peer": peer,
        "scale": scale,
        "rows": rows,
        "ours_seconds": ours,
        "theirs_seconds": theirs,
        "ratio": theirs and theirs / ours,
        "difference": None if ours_only else difference(found["theirs"], found["ours"]),
    }


def problem(peer: str, folder: Path, scale: float) -> tuple[dict[str, Path], int]:
    """Files of the size of a real data set × scale, and how many rows of predictions."""
    draw = np.random.default_rng(0)
    if peer.startswith("ava"):
        return ava(draw, folder, max(1, round(57_000 * scale)))
    if peer.startswith("boxes"):
        return boxes(draw, folder, max(1, round(5_000 * scale)), coco=peer == "boxes-coco")
    return segments(draw, folder, max(2, round(4_926 * scale)))


def ava(draw: np.random.Generator, folder: Path, frames: int) -> tuple[dict[str, Path], int]:
    """About 4 truth rows and 10 predictions a frame, 60 classes."""
    truth, found = [], []
    for frame in range(frames):
        name = f"video{frame // 897:03d},{902 + frame % 897:04d}"
        people = _corners(draw, int(draw.integers(1, 4)))
        for person, box in enumerate(people):
            for action in draw.integers(1, 61, 2):
                truth.append(f"{name},{box},{action},{person}")
            for action in draw.integers(1, 61, 5):
                found.append(f"{name},{box},{action},{draw.random():.4f}")
    labels = "".join(f'item {{\n  name: "a{own}"\n  id: {own}\n}}\n' for own in range(1, 61))
    texts = {
        "truth": "\n".join(truth) + "\n",
        "predictions": "\n".join(found) + "\n",
        "labels": labels,
        "excluded": "nowhere,0902\n",
    }
    return {name: _written(folder / name, text) for name, text in texts.items()}, len(found)


def _corners(draw: np.random.Generator, count: int) -> list[str]:
    low = draw.random((count, 2)) * 0.5
    high = low + 0.1 + draw.random((count, 2)) * 0.4
    return [",".join(f"{side:.3f}" for side in (*a, *b)) for a, b in zip(low, high, strict=True)]


def segments(draw: np.random.Generator, folder: Path, videos: int) -> tuple[dict[str, Path], int]:
    """200 classes, one of them in a video, 1 to 3 segments, 100 predictions of two classes."""
    database: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for number in range(videos):
        labels = [f"class {number % 200}", f"class {draw.integers(0, min(200, videos))}"]
        starts = draw.random(int(draw.integers(1, 4))) * 100
        own = [{"label": labels[0], "segment": [float(s), float(s) + 30.0]} for s in starts]
        database[f"v{number}"] = {"subset": "validation", "annotations": own}
        near = starts[draw.integers(0, len(starts), 100)] + draw.normal(0, 8, 100)
        lengths = draw.uniform(15, 60, 100)
        results[f"v{number}"] = [
            {"label": labels[place % 2], "score": float(score), "segment": [start, start + length]}
            for place, (start, length, score) in enumerate(
                zip(near.tolist(), lengths.tolist(), draw.random(100), strict=True)
            )
        ]
    truth = {"version": "1.3", "taxonomy": [], "database": database}
    found = {"version": "1.3", "external_data": {}, "results": results}
    files = {"truth": truth, "predictions": found}
    return {
        name: _written(folder / name, json.dumps(value)) for name, value in files.items()
    }, 100 * videos


def boxes(
    draw: np.random.Generator, folder: Path, frames: int, *, coco: bool
) -> tuple[dict[str, Path], int]:
    """80 classes, about 7 truths and 36 predictions a frame."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, frames + 1):
        for _ in range(int(draw.integers(1, 14))):
            box = [float(side) for side in (*draw.uniform(0, 400, 2), *draw.uniform(10, 200, 2))]
            label = int(draw.integers(1, 81))
            one = {"image_id": image, "category_id": label, "bbox": box}
            number = len(annotations) + 1
            annotations.append({"id": number, **one, "area": box[2] * box[3], "iscrowd": 0})
            for shift in draw.normal(0, 6, (5, 4)):
                moved = np.maximum(np.array(box) + shift, 1.0).tolist()
                results.append({**one, "bbox": moved, "score": float(draw.random())})
    if coco:
        categories = [{"id": own, "name": f"c{own}"} for own in range(1, 81)]
        images = [{"id": own} for own in range(1, frames + 1)]
        truth = {"images": images, "annotations": annotations, "categories": categories}
        return {
            "truth": _written(folder / "truth.json", json.dumps(truth)),
            "predictions": _written(folder / "predictions.json", json.dumps(results)),
        }, len(results)
    for name, rows in (("truth", annotations), ("predictions", results)):
        lines: dict[int, list[str]] = {}
        for row in rows:
            score = f" {row['score']}" if "score" in row else ""
            sides = " ".join(f"{side:.2f}" for side in row["bbox"])
            lines.setdefault(row["image_id"], []).append(f"c{row['category_id']}{score} {sides}\n")
        (folder / name).mkdir()
        for image, own in lines.items():
            _written(folder / name / f"{image:06d}.txt", "".join(own))
    return {name: folder / name for name in ("truth", "predictions")}, len(results)


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkouts", type=Path, required=True, help="folder of repositories")
    parser.add_argument("--peers", nargs="*", choices=sorted(CHECKOUTS), help="default: all")
    parser.add_argument("--scale", type=float, default=0.1, help="of the real size (default: 0.1)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ours-only", action="store_true", help="time ours alone, at full size")
    parser.add_argument("--output", type=Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
