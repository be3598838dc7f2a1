from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vidattn import evaluation, models
from vidattn.data.actions import Truth
from vidattn.errors import AnnotationError, ArgumentError, VidattnError, VideoError
from vidattn.evaluation import Interval
from vidattn.files import write_json
from vidattn.inference.baselines import METHODS, Whereabouts, keyframe_figures
from vidattn.inference.baselines import region_figures as figures_of_regions
from vidattn.jobs.demo_material import TRAINING_LIST, Material, make_actions, own_videos
from vidattn.jobs.demo_page import comparisons, write_demo_page
from vidattn.jobs.looks import look
from vidattn.jobs.train import train
from vidattn.models import LoadedRecogniser
from vidattn.runs.provenance import versions
from vidattn.runs.results import ResultFolder
from vidattn.training.earlier_run import INTERRUPTED
from vidattn.video import open_video

# Clips that training goes over, however few or many videos there are: it is the same time then.
CLIPS_TO_LEARN_FROM = 14_400
# Clips an epoch, at least: the time between epochs would be most of the time of very short ones.
CLIPS_PER_EPOCH = 1_200
# Below this number of test videos, resampling them makes intervals that are too narrow.
FEW_VIDEOS = 50
KEYFRAMES = 3
CONFIGURATION, CHECKPOINT, PREDICTIONS = "config.yaml", "model.ckpt", "predictions.json"
FILES = (
    *("report.html", PREDICTIONS, CHECKPOINT, INTERRUPTED, CONFIGURATION),
    "csv/",
)


def demo(
    output: str | Path = "runs/demo",
    *,
    videos: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Make videos (or use your own), train, evaluate, and write a page.

    Args:
        output: folder for `report.html`, `summary.json`, `predictions.json`, `model.ckpt`.
        videos: folder of class folders, or of `train` and `test` with class folders each; and
            perhaps a `truth.json` as `vidattn.data.synthetic.write_actions` writes it.
        seed: of data and training, not negative.
        overwrite: replace what an earlier demo wrote; see `vidattn.runs.results`.

    Returns:
        what `summary.json` holds.

    Raises:
        AnnotationError: the folder of videos is not one.
        ArgumentError: the run would overwrite a file in `output`.
    """
    if seed < 0:
        raise ArgumentError(f"seed: expected 0 or more, got {seed}")
    output = Path(output)
    started = time.perf_counter()
    if videos is not None and not Path(videos).is_dir():
        raise AnnotationError(videos, 0, "expected a folder of class folders, found none")
    files = [*FILES, "actions/" if videos is None else TRAINING_LIST]
    results = ResultFolder(output, "demo", "summary.json", files, overwrite=overwrite)
    _refuse_other_checkpoints(output)
    results.begin({"videos": None if videos is None else str(videos), "seed": seed})
    try:
        material = (
            make_actions(output / "actions", seed)
            if videos is None
            else own_videos(Path(videos), output, seed)
        )
    except VidattnError:
        results.abandon()
        raise
    results.clear(but=TRAINING_LIST)
    made = time.perf_counter()
    train_on(output, material, seed)
    trained = time.perf_counter()
    loaded = models.load(output / CHECKPOINT)
    predictions = predict(loaded, material, seed=seed, progress=progress)
    write_json(output / PREDICTIONS, predictions)
    summary = summarise(json.loads((output / PREDICTIONS).read_text(encoding="utf-8")))
    summary["seconds"] = {
        "videos": round(made - started, 1),
        "training": round(trained - made, 1),
        "evaluation": round(time.perf_counter() - trained, 1),
    }
    summary["versions"] = versions()
    write_demo_page(output / "report.html", summary, predictions, loaded)
    summary = results.finish(summary, [name for name in files if (output / name).exists()])
    if progress:
        _print(summary, output)
    return summary


def _refuse_other_checkpoints(output: Path) -> None:
    """A training takes such a file for one of an earlier training of the same name."""
    stem, suffix = Path(CHECKPOINT).stem, Path(CHECKPOINT).suffix
    if found := sorted(output.glob(f"{stem}-v*{suffix}")):
        raise ArgumentError(
            f"{found[0]}: this checkpoint is in the way, and `vidattn demo` did not write it; "
            "nothing is written over it. Give another --output, or move it away"
        )


def train_on(
    output: Path,
    material: Material,
    seed: int,
    *,
    model: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Train as the demo does; `output` gets `model.ckpt` and the whole `config.yaml`.

    Args:
        output: made if need be.
        model: keys of the configuration's model that differ from the demo's.
        overwrite: delete the files of an earlier training there.
    """
    template = files("vidattn.jobs").joinpath("demo.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(template)
    values["seed_everything"] = seed
    values["model"] |= model or {}
    values["data"] |= {
        "annotations": str(material.training),
        "root": str(material.root),
        "seed": seed,
    }
    trainer = values["trainer"]
    trainer["max_epochs"], values["data"]["repeat"] = epochs_and_passes(material.training_count)
    trainer["callbacks"][0]["init_args"]["dirpath"] = str(output)
    train(values, output=output, overwrite=overwrite)


def epochs_and_passes(training_count: int) -> tuple[int, int]:
    """Epochs, and passes over the training videos in each: as many as fit the time."""
    passes = max(round(CLIPS_PER_EPOCH / max(training_count, 1)), 1)
    epochs = round(CLIPS_TO_LEARN_FROM / (passes * max(training_count, 1)))
    return max(epochs, 1), passes


def predict(
    loaded: LoadedRecogniser, material: Material, *, seed: int, progress: bool = True
) -> dict[str, Any]:
    """Scores and whereabouts of every test video, and the truth beside them."""
    records: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for number, sample in enumerate(
        track(material.test, description="evaluating", disable=not progress, transient=True)
    ):
        try:
            with open_video(sample.path) as reader:
                attention, places = look(loaded, reader, seed=seed + number)
                size = reader.size
        except VideoError as error:
            failures[sample.video_id] = error.reason
            continue
        truth = material.truths.get(sample.video_id)
        records.append(
            {
                "video": str(sample.path),
                "label": sample.labels[0],
                "size": size,
                "class_scores": attention.probabilities.astype(float).round(6),
                "truth": None if truth is None else asdict(truth),
                **{method: place.to_json() for method, place in places.items()},
            }
        )
    return {
        "classes": loaded.classes,
        "seed": seed,
        "checkpoint_sha256": loaded.digest,
        "keyframes_per_video": KEYFRAMES,
        "videos": records,
        "failures": failures,
    }


def summarise(predictions: dict[str, Any]) -> dict[str, Any]:
    """Figures from what `predictions.json` holds; nothing else is needed.

    Each figure with a baseline beside it; where no truth is known, only the recognition.

    Raises:
        AnnotationError: no video could be evaluated.
    """
    classes, seed = predictions["classes"], predictions["seed"]
    rows = predictions["videos"]
    if not rows:
        raise AnnotationError("predictions", 0, f"no video was read: {predictions['failures']}")
    scores = np.array([row["class_scores"] for row in rows])
    labels = np.array([classes.index(row["label"]) for row in rows])
    right = (scores.argmax(1) == labels).astype(float)
    summary: dict[str, Any] = {
        "videos": len(rows),
        "videos_failed": len(predictions["failures"]),
        "classes": classes,
        "seed": seed,
        "top1": float(right.mean()),
        "chance": 1 / len(classes),
        "majority": float(np.bincount(labels).max() / len(labels)),
        "confusion_matrix": evaluation.confusion_matrix(
            scores.argmax(1), labels, len(classes)
        ).tolist(),
        "intervals_95": {},
    }
    interval = (
        evaluation.wilson_interval(int(right.sum()), len(rows))
        if len(rows) < FEW_VIDEOS
        else evaluation.bootstrap_mean(right, seed=seed, resamples=2000)
    )
    _put(summary, "top1", interval)
    known = [row for row in rows if row["truth"] is not None]
    if len(known) > 1:
        _put_whereabouts(summary, known, predictions["keyframes_per_video"])
    return summary


def _put_whereabouts(
    summary: dict[str, Any], rows: Sequence[dict[str, Any]], keyframes: int
) -> None:
    seed = summary["seed"]
    truths = [Truth(**row["truth"]) for row in rows]
    scores = [{method: row[method]["scores"] for method in METHODS} for row in rows]
    figures = keyframe_figures(scores, truths, count=keyframes, seed=seed)
    _put_all(summary, "keyframe_precision", figures)
    places = [
        {
            method: Whereabouts(
                np.array(row[method]["scores"]),
                np.array(row[method]["points"]),
                np.array(row[method]["boxes"]),
            )
            for method in METHODS
        }
        for row in rows
    ]
    sizes = [(row["size"][0], row["size"][1]) for row in rows]
    hits, overlaps = figures_of_regions(places, sizes, truths, seed=seed)
    _put_all(summary, "pointing_game", hits)
    _put_all(summary, "box_iou", overlaps)
    summary["videos_with_truth"] = len(rows)
    summary["keyframes_per_video"] = keyframes


def _put_all(summary: dict[str, Any], figure: str, found: dict[str, Interval]) -> None:
    """The model's own figure under its name, others with the method behind it."""
    for method, interval in found.items():
        _put(summary, figure if method == "attention" else f"{figure}_{method}", interval)


def _put(summary: dict[str, Any], name: str, interval: Interval) -> None:
    summary[name] = interval.mean
    summary["intervals_95"][name] = [interval.low, interval.high]


def _print(summary: dict[str, Any], output: Path) -> None:
    table = Table("figure", "value", "95 % interval", "beside")
    for name, beside in comparisons(summary).items():
        low, high = summary["intervals_95"].get(name, (None, None))
        interval = "" if low is None else f"{low:.1%} – {high:.1%}"
        others = ", ".join(f"{other} {value:.1%}" for other, value in beside.items())
        table.add_row(name.replace("_", " "), f"{summary[name]:.1%}", interval, others)
    console = Console()
    console.print(table)
    console.print(f"{output / 'report.html'} shows it all", markup=False)
