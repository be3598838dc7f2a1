from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from vidattn import __version__, evaluation, models
from vidattn.data import ClipDataset, EvaluationTransform, Sample, read_annotations
from vidattn.data.loader import evaluation_loader
from vidattn.errors import ArgumentError
from vidattn.files import write_json
from vidattn.models import LoadedRecogniser

BOOTSTRAP_SEED = 0


@dataclass(frozen=True, eq=False)
class ClipScores:
    """What a model says of every test clip, before anything is averaged.

    Attributes:
        logits: float32 (clips, classes).
        video_ids: of each clip.
        labels: int64 (videos,), or multi-hot (videos, classes), by video in order of appearance.
        groups: of each video, in that order; the video itself where it has none.
        failures: videos that could not be read -> why.
    """

    logits: NDArray[np.float32]
    video_ids: list[str]
    labels: NDArray[Any]
    groups: list[str]
    failures: dict[str, str]


def score_clips(
    loaded: LoadedRecogniser,
    samples: Sequence[Sample],
    *,
    views: int = 1,
    crops: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    decoder: str = "pyav",
    progress: bool = True,
) -> ClipScores:
    """Run a recogniser over views × crops clips of every video.

    Args:
        batch_size: clips that go through the network at once; the clips of one video always
            go together.
        workers: processes that decode; 0 decodes in this one.

    Raises:
        ArgumentError: a label that the model does not know, or a number out of range.
    """
    spec = loaded.recogniser.spec
    if batch_size < 1:
        raise ArgumentError(f"batch_size: expected at least 1, got {batch_size}")
    dataset = ClipDataset(
        samples,
        spec=loaded.clip,
        classes=spec.classes,
        training=False,
        views=views,
        crops=crops,
        multi_label=spec.multi_label,
        decoder=decoder,
    )
    videos_at_once = max(batch_size // (views * crops), 1)
    loader = evaluation_loader(dataset, batch_size=videos_at_once, workers=workers)
    device = next(loaded.recogniser.parameters()).device
    transform = EvaluationTransform(loaded.clip).to(device)
    logits: list[torch.Tensor] = []
    video_ids: list[str] = []
    labels: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        for batch in track(
            loader,
            description="evaluating",
            console=Console(stderr=True),
            disable=not progress,
            transient=True,
        ):
            there = batch.to(device)
            recognition = loaded.recogniser(transform(there.pixels), there.valid)
            logits.append(recognition.logits.float().cpu())
            video_ids += batch.video_id
            labels.update(zip(batch.video_id, batch.labels, strict=True))
    if not logits:
        reasons = "; ".join(f"{path}: {why}" for path, why in list(dataset.failures.items())[:5])
        raise ArgumentError(f"data: none of the {len(dataset)} videos can be read ({reasons})")
    groups = {sample.video_id: sample.group or sample.video_id for sample in samples}
    return ClipScores(
        torch.cat(logits).numpy(),
        video_ids,
        torch.stack(list(labels.values())).numpy(),
        [groups[name] for name in labels],
        dataset.failures,
    )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of one checkpoint on one set of videos; `to_json` is the whole record.

    Attributes:
        classes: names in the order of the scores.
        figures: name -> value, all in [0, 1].
        intervals: name -> (low, high), 95 % bootstrap, groups resampled whole.
        video_ids, labels, scores: of each video; scores are mean probabilities over its clips.
        failures: videos that could not be read -> why.
        settings: views, crops, versions, checkpoint.
    """

    classes: tuple[str, ...]
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    video_ids: list[str]
    labels: NDArray[Any]
    scores: NDArray[np.float64]
    failures: dict[str, str]
    settings: dict[str, Any]

    @property
    def multi_label(self) -> bool:
        """Whether a video may have several labels."""
        return self.labels.ndim == 2

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes): videos by true class (row) and predicted class (column)."""
        if self.multi_label:
            raise ArgumentError("confusion: videos with several labels have no confusion matrix")
        return evaluation.confusion_matrix(self.scores.argmax(1), self.labels, len(self.classes))

    def to_json(self) -> dict[str, Any]:
        """The record that `evaluation.json` holds; every figure can be recomputed from it."""
        labels = [np.flatnonzero(row) if self.multi_label else [row] for row in self.labels]
        record: dict[str, Any] = {
            **self.settings,
            "videos_evaluated": len(self.video_ids),
            "videos_failed": self.failures,
            **self.figures,
            "intervals_95": self.intervals,
            "classes": list(self.classes),
            "videos": [
                {
                    "video": name,
                    "labels": [self.classes[int(label)] for label in own],
                    "scores": [round(float(score), 6) for score in row],
                }
                for name, own, row in zip(self.video_ids, labels, self.scores, strict=True)
            ],
        }
        if not self.multi_label:
            record["confusion_matrix"] = self.confusion.tolist()
            shares = evaluation.class_accuracies(self.confusion)
            record["class_accuracies"] = {
                name: None if np.isnan(share) else float(share)
                for name, share in zip(self.classes, shares, strict=True)
            }
        return record


def evaluate(
    checkpoint: str | Path | LoadedRecogniser,
    data: str | Path | Sequence[Sample],
    *,
    root: str | Path | None = None,
    folds: Sequence[int] | None = None,
    views: int = 1,
    crops: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    device: str = "cpu",
    decoder: str = "pyav",
    output: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a checkpoint clip by clip and video by video.

    A video's score is the mean of its clips' probabilities.

    Args:
        checkpoint: a file, or what `vidattn.models.load` returned.
        data: class folders, a list, a CSV, or what `read_annotations` returned.
        root: folder that the paths are relative to.
        folds: use only these values of the CSV's fold column.
        views, crops: clips a video over time, and over the longer side (1 or 3).
        batch_size, workers, decoder: see `score_clips`.
        output: folder for `evaluation.json` and `evaluation.html`; nothing is written if None.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: what was given cannot be used.
    """
    loaded = (
        models.load(checkpoint, device=device) if isinstance(checkpoint, str | Path) else checkpoint
    )
    samples = _samples(data, root, folds, multi_label=loaded.recogniser.spec.multi_label)
    clips = score_clips(
        loaded,
        samples,
        views=views,
        crops=crops,
        batch_size=batch_size,
        workers=workers,
        decoder=decoder,
        progress=progress,
    )
    settings = {
        "data": str(data) if isinstance(data, str | Path) else None,
        "folds": None if folds is None else list(folds),
        "videos_expected": len(samples),
        "views": views,
        "crops": crops,
        "aggregation": "mean of probabilities over the clips of a video",
        "clip": loaded.clip.to_json(),
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
        "decoder": decoder,
        "versions": versions(),
    }
    found = summarise(clips, loaded.classes, settings)
    if output is not None:
        from vidattn.jobs.pages import write_evaluation_page

        write_json(Path(output) / "evaluation.json", found.to_json())
        write_evaluation_page(Path(output) / "evaluation.html", found)
    return found


def summarise(clips: ClipScores, classes: Sequence[str], settings: dict[str, Any]) -> Evaluation:
    """Clip scores -> figures with intervals."""
    if clips.labels.ndim == 2:
        figures, intervals, names, scores = _multi_label_figures(clips)
    else:
        figures, intervals, names, scores = _single_label_figures(clips, len(classes))
    return Evaluation(
        tuple(classes), figures, intervals, names, clips.labels, scores, clips.failures, settings
    )


Figures = tuple[dict[str, float], dict[str, tuple[float, float]], list[str], NDArray[np.float64]]


def _single_label_figures(clips: ClipScores, class_count: int) -> Figures:
    names, scores = evaluation.average_views(clips.logits, clips.video_ids)
    labels = dict(zip(names, clips.labels, strict=True))
    clip_labels = np.array([labels[name] for name in clips.video_ids])
    k = min(5, class_count)
    figures = {
        "clip_top1": evaluation.top_k_accuracy(clips.logits, clip_labels, 1),
        "clip_top5": evaluation.top_k_accuracy(clips.logits, clip_labels, k),
        "video_top1": evaluation.top_k_accuracy(scores, clips.labels, 1),
        "video_top5": evaluation.top_k_accuracy(scores, clips.labels, k),
        "mean_class_accuracy": evaluation.mean_class_accuracy(
            evaluation.confusion_matrix(scores.argmax(1), clips.labels, class_count)
        ),
        "calibration_error": evaluation.expected_calibration_error(scores, clips.labels),
    }
    right = (scores.argmax(1) == clips.labels).astype(np.float64)
    intervals = {}
    if len(set(clips.groups)) > 1:
        interval = evaluation.bootstrap_mean(right, seed=BOOTSTRAP_SEED, clusters=clips.groups)
        intervals["video_top1"] = (interval.low, interval.high)
    return figures, intervals, [str(name) for name in names], scores


def _multi_label_figures(clips: ClipScores) -> Figures:
    # Sigmoids are averaged by the same rule as softmax outputs: as they are.
    probabilities = 1 / (1 + np.exp(-clips.logits.astype(np.float64)))
    names, scores = evaluation.average_views(probabilities, clips.video_ids, method="logits")
    labels = dict(zip(names, clips.labels, strict=True))
    clip_labels = np.stack([labels[name] for name in clips.video_ids])
    figures = {
        "clip_mean_average_precision": evaluation.mean_average_precision(
            probabilities, clip_labels
        ),
        "video_mean_average_precision": evaluation.mean_average_precision(scores, clips.labels),
    }
    return figures, {}, [str(name) for name in names], scores


def _samples(
    data: str | Path | Sequence[Sample],
    root: str | Path | None,
    folds: Sequence[int] | None,
    *,
    multi_label: bool,
) -> list[Sample]:
    if isinstance(data, str | Path):
        samples = read_annotations(data, root=root, label_separator="," if multi_label else None)
    else:
        samples = list(data)
    chosen = [sample for sample in samples if folds is None or sample.fold in folds]
    if not chosen:
        raise ArgumentError(f"folds: no video is in any of {list(folds or [])}")
    return chosen


def versions() -> dict[str, str]:
    """What a figure depends on besides the checkpoint and the data."""
    from importlib.metadata import version

    names = ("torch", "torchvision", "av", "numpy")
    return {
        "vidattn": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }
