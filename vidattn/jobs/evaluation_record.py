from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn import evaluation
from vidattn.errors import ArgumentError
from vidattn.jobs.clip_scores import ClipScores

BOOTSTRAP_SEED = 0


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
