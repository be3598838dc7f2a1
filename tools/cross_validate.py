"""Train one configuration on every fold, for several seeds, with attention and with averages.

Attention is compared with average pooling as a paired difference over videos; intervals resample
the groups (sources) that videos were cut from, and seeds are averaged first. Runs that are done
are not repeated; a folder with runs of another configuration is refused.

Example:
  python tools/cross_validate.py configs/fights.yaml --held-out 0 1 2 3 --seeds 0 1 2 \\
      --views 3 --output runs/fights --set data.annotations=clips.csv
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

import vidattn
from vidattn import evaluation
from vidattn.data import read_annotations
from vidattn.files import write_json, write_text


def main() -> None:
    parsed = parse()
    template = yaml.safe_load(parsed.configuration.read_text(encoding="utf-8"))
    for setting in parsed.set:
        put(template, *setting.split("=", 1))
    arms = {"attention": template["model"].get("pooling", "joint"), "average": "average"}
    records = []
    for held_out in parsed.held_out:
        folds = [int(fold) for fold in held_out.split(",")]
        for seed in parsed.seeds:
            for arm in parsed.arms:
                folder = parsed.output / f"{held_out}-{seed}-{arm}"
                record = run(template, folder, folds, seed, arms[arm], parsed.views)
                records.append({"held_out": held_out, "seed": seed, "arm": arm, **record})
                print(f"{held_out} seed {seed} {arm}: {record['accuracy']:.3f}", flush=True)
    data = template["data"]
    samples = read_annotations(data["annotations"], root=data.get("root"), label_separator=None)
    groups = {sample.video_id: sample.group or sample.video_id for sample in samples}
    result = summarise(records, groups)
    write_json(parsed.output / "result.json", {"configuration": template, **result})
    show(result)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configuration", type=Path)
    parser.add_argument(
        "--held-out", nargs="+", required=True, help="folds to test on; 0,1 holds out both at once"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=["attention", "average"])
    parser.add_argument("--views", type=int, default=3, help="test clips a video")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="dotted keys")
    return parser.parse_args()


def put(values: dict[str, Any], key: str, text: str) -> None:
    """Set a dotted key to a value written as YAML."""
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
    values[last] = yaml.safe_load(text)


def run(
    template: dict[str, Any], folder: Path, folds: list[int], seed: int, pooling: str, views: int
) -> dict[str, Any]:
    """One training, scored at its last epoch; read back if it was done before."""
    record_path, configuration = folder / "record.json", folder / "training.yaml"
    values = json.loads(json.dumps(template))
    values["seed_everything"] = seed
    values["model"]["pooling"] = pooling
    if pooling == "average":
        values["model"].pop("pooling_settings", None)
    values["data"] |= {"test_folds": folds, "seed": seed}
    values["trainer"] |= {
        "logger": False,
        "limit_val_batches": 0,
        "enable_progress_bar": False,
    }
    values["output"] = str(folder)
    text = yaml.safe_dump(values, sort_keys=False)
    if record_path.is_file():
        if configuration.read_text(encoding="utf-8") != text:
            raise SystemExit(
                f"{folder}: holds a run of another configuration; give another --output"
            )
        return json.loads(record_path.read_text(encoding="utf-8"))
    write_text(configuration, text)
    started, cpu = time.perf_counter(), time.process_time()
    # What an interrupted run of this very configuration left is trained anew.
    vidattn.train(configuration, overwrite=True)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    found = vidattn.evaluate(
        folder / "last.ckpt",
        values["data"]["annotations"],
        root=values["data"].get("root"),
        folds=folds,
        views=views,
        progress=False,
    )
    record = {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "accuracy": found.figures["video_top1"],
        "mean_class_accuracy": found.figures["mean_class_accuracy"],
        "confusion": found.confusion,
        "classes": found.classes,
        "right": dict(
            zip(found.video_ids, (found.scores.argmax(1) == found.labels).tolist(), strict=True)
        ),
        "failures": found.failures,
    }
    write_json(record_path, record)
    (folder / "last.ckpt").unlink()
    return json.loads(record_path.read_text(encoding="utf-8"))


def summarise(records: list[dict[str, Any]], groups: dict[str, str]) -> dict[str, Any]:
    """Accuracy by arm and fold, and the paired difference, with intervals over groups."""
    result: dict[str, Any] = {"runs": records, "arms": {}}
    right: dict[str, dict[str, list[float]]] = {}
    for arm in dict.fromkeys(record["arm"] for record in records):
        own = [record for record in records if record["arm"] == arm]
        by_fold = {
            fold: [round(r["accuracy"], 4) for r in own if r["held_out"] == fold]
            for fold in dict.fromkeys(record["held_out"] for record in own)
        }
        videos: dict[str, list[float]] = {}
        for record in own:
            for video, hit in record["right"].items():
                videos.setdefault(video, []).append(float(hit))
        right[arm] = videos
        interval = evaluation.bootstrap_mean(
            [float(np.mean(hits)) for hits in videos.values()],
            clusters=[groups[video] for video in videos],
            seed=0,
        )
        fold_means = [float(np.mean(values)) for values in by_fold.values()]
        result["arms"][arm] = {
            "accuracy_by_fold": by_fold,
            "mean_of_folds": float(np.mean(fold_means)),
            "spread_of_runs": float(np.std([r["accuracy"] for r in own])),
            "over_videos": interval._asdict(),
            "confusion": np.sum([r["confusion"] for r in own], axis=0).tolist(),
            "classes": own[0]["classes"],
            "seconds_a_run": float(np.mean([r["seconds"] for r in own])),
        }
    if {"attention", "average"} <= set(right):
        names = list(right["attention"])
        difference = evaluation.paired_difference(
            [float(np.mean(right["attention"][name])) for name in names],
            [float(np.mean(right["average"][name])) for name in names],
            clusters=[groups[name] for name in names],
            seed=0,
        )
        result["attention_minus_average"] = difference._asdict()
    return result


def show(result: dict[str, Any]) -> None:
    table = Table("pooling", "folds", "mean of folds", "over videos, 95 %", "seconds a run")
    for arm, own in result["arms"].items():
        folds = ", ".join(
            f"{fold}: {np.mean(values):.1%}" for fold, values in own["accuracy_by_fold"].items()
        )
        videos = own["over_videos"]
        table.add_row(
            arm,
            folds,
            f"{own['mean_of_folds']:.1%}",
            f"{videos['mean']:.1%} ({videos['low']:.1%} – {videos['high']:.1%})",
            f"{own['seconds_a_run']:.0f}",
        )
    console = Console()
    console.print(table)
    if "attention_minus_average" in result:
        found = result["attention_minus_average"]
        interval = f"({found['low']:+.1%} – {found['high']:+.1%})"
        console.print(f"attention − average: {found['mean']:+.1%} {interval}")


if __name__ == "__main__":
    main()
