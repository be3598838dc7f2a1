from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn import evaluation
from vidattn.data import Sample
from vidattn.errors import ArgumentError
from vidattn.evaluation import Interval
from vidattn.jobs.clip_scores import unpacked
from vidattn.notebook import html_table
from vidattn.runs.failures import is_failure
from vidattn.runs.outcome import VideoFailure, counts, failures_of, in_words
from vidattn.runs.work import Record

BOOTSTRAP_SEED = 0
CALIBRATION_BINS = 15
# Ranking all videos anew for every resample takes long.
RANKING_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of one checkpoint on one set of videos; `to_json` is the whole record.

    Attributes:
        classes: names in the order of the scores.
        figures: name -> value, all in [0, 1].
        intervals: name -> (low, high), 95 % bootstrap, groups resampled whole.
        samples: the videos that were evaluated.
        labels: int64 (videos,), or multi-hot (videos, classes).
        scores: (videos, classes), probabilities of each video over its clips.
        indices: of each video, of each of its views, its frames: see `clip_scores.compact`.
        failures: videos that were not evaluated.
        settings: protocol, versions, checkpoint.
        times: when, and how long it took.
        clip_scores: float32 (videos, clips, classes), probabilities of each clip; None where
            they are not kept.
    """

    classes: tuple[str, ...]
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    samples: list[Sample]
    labels: NDArray[Any]
    scores: NDArray[np.float64]
    indices: list[list[str]]
    failures: tuple[VideoFailure, ...]
    settings: dict[str, Any]
    times: dict[str, Any] = field(default_factory=dict)
    clip_scores: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        name = self.main_figure
        bounds = self.intervals.get(name)
        interval = f" ({bounds[0]:.1%} – {bounds[1]:.1%})" if bounds else ""
        others = "".join(f", {other} {share:.1%}" for other, share in self.beside.items())
        return (
            f"<Evaluation {name} {self.figures[name]:.1%}{interval}{others}; "
            f"{len(self)} videos, {len(self.classes)} classes>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures, and what the first one is without a model."""
        rows = []
        for name, value in self.figures.items():
            bounds = self.intervals.get(name)
            beside = self.beside if name == self.main_figure else {}
            rows.append(
                (
                    name.replace("_", " "),
                    f"{value:.1%}",
                    f"{bounds[0]:.1%} – {bounds[1]:.1%}" if bounds else "",
                    ", ".join(f"{other} {share:.1%}" for other, share in beside.items()),
                )
            )
        title = f"{len(self)} videos of {len(self.classes)} classes"
        return html_table(title, ("figure", "value", "95 % interval", "without a model"), rows)

    @property
    def video_ids(self) -> list[str]:
        """Names of the videos that were evaluated."""
        return [sample.video_id for sample in self.samples]

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

    @property
    def main_figure(self) -> str:
        """The name of the figure that tells models apart."""
        return "video_mean_average_precision" if self.multi_label else "video_top1"

    @property
    def beside(self) -> dict[str, float]:
        """What the main figure is without a model, in [0, 1].

        "chance" is guessing: the expectation of a random order where videos have several labels.
        "majority" always names the most frequent class.
        """
        if self.multi_label:
            positives = self.labels.sum(0).astype(int)
            chances = [
                evaluation.random_average_precision(int(count), len(self.labels))
                for count in positives[positives > 0]
            ]
            return {"chance": float(np.mean(chances))}
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return {"chance": 1 / len(self.classes), "majority": float(counts.max() / counts.sum())}

    @property
    def class_table(self) -> dict[str, dict[str, float | int | None]]:
        """Class -> videos, and their accuracy, or the average precision of several labels."""
        if self.multi_label:
            counts = self.labels.sum(0).astype(int)
            shares = evaluation.average_precisions(self.scores, self.labels)
        else:
            counts = self.confusion.sum(1)
            shares = evaluation.class_accuracies(self.confusion)
        name = "average_precision" if self.multi_label else "accuracy"
        return {
            own: {"videos": int(count), name: None if np.isnan(share) else float(share)}
            for own, count, share in zip(self.classes, counts, shares, strict=True)
        }

    def to_json(self) -> dict[str, Any]:
        """The record that `evaluation.json` holds; every figure can be recomputed from it."""
        record: dict[str, Any] = {
            **self.settings,
            **counts(len(self.samples), self.failures),
            **self.figures,
            "intervals_95": self.intervals,
            "classes": list(self.classes),
            "class_table": self.class_table,
        }
        record[f"beside_{self.main_figure.removeprefix('video_')}"] = self.beside
        if not self.multi_label:
            record["confusion_matrix"] = self.confusion.tolist()
        record["videos"] = [self._video(number) for number in range(len(self.samples))]
        return record | {"times": self.times}

    def _video(self, number: int) -> dict[str, Any]:
        sample, scores = self.samples[number], self.scores[number]
        record: dict[str, Any] = {"video": sample.video_id, "labels": list(sample.labels)}
        if sample.group is not None:
            record["group"] = sample.group
        if not self.multi_label:
            record["predicted"] = self.classes[int(scores.argmax())]
        record["scores"] = _rounded(scores)
        if self.clip_scores is not None and self.settings["clip_scores"] == "json":
            record["clip_scores"] = [_rounded(clip) for clip in self.clip_scores[number]]
        return record | {"indices": self.indices[number]}


def gather_evaluation(
    records: Mapping[int, Record],
    samples: Sequence[Sample],
    labels: NDArray[Any],
    classes: Sequence[str],
    settings: dict[str, Any],
) -> Evaluation:
    """What was found of each video -> figures with intervals.

    Args:
        records: number of the sample -> its scores, or why it has none; see `EvaluationWork`.
        samples: all that were expected.
        labels: of each sample: class numbers, or multi-hot.

    Raises:
        ArgumentError: no video could be evaluated.
    """
    failures = failures_of([sample.name for sample in samples], records)
    known = [number for number in range(len(samples)) if not is_failure(records[number])]
    if not known:
        reasons = in_words(failures)
        raise ArgumentError(f"data: none of the {len(samples)} videos can be read ({reasons})")
    own = labels[known]
    found = [records[number] for number in known]
    several = labels.ndim == 2
    kept = settings.get("clip_scores", "none") != "none"
    clips = np.array(
        [_clip_scores(each, len(classes), several) for each in found] if several or kept else []
    )
    scores = np.array([record["scores"] for record in found])
    groups = [samples[number].group or samples[number].video_id for number in known]
    figures = (
        _multi_label_figures(clips, scores, own, groups)
        if several
        else _single_label_figures(found, scores, own, groups)
    )
    return Evaluation(
        tuple(classes),
        *figures,
        [samples[number] for number in known],
        own,
        scores,
        [record["indices"] for record in found],
        failures,
        settings,
        clip_scores=clips.astype(np.float32, copy=False) if kept else None,
    )


def _clip_scores(record: Record, class_count: int, several: bool) -> NDArray[Any]:
    """(clips, classes), probabilities; in single precision where no figure is made of them."""
    logits = unpacked(record["clip_logits"], class_count).astype(np.float64)
    if several:
        return 1 / (1 + np.exp(-logits))
    return evaluation.softmax(logits).astype(np.float32)


def _rounded(scores: NDArray[Any]) -> list[float]:
    return [round(float(score), 6) for score in scores]


Figures = tuple[dict[str, float], dict[str, tuple[float, float]]]


def _single_label_figures(
    found: Sequence[Record],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str],
) -> Figures:
    class_count = scores.shape[1]
    clip_ranks = np.concatenate([record["clip_ranks"] for record in found])
    # The first five of five classes are all of them: no figure.
    limits = (1, 5) if class_count > 5 else (1,)
    figures = {
        **{f"clip_top{k}": float((clip_ranks < k).mean()) for k in limits},
        **{f"video_top{k}": evaluation.top_k_accuracy(scores, labels, k) for k in limits},
        "mean_class_accuracy": evaluation.mean_class_accuracy(
            evaluation.confusion_matrix(scores.argmax(1), labels, class_count)
        ),
        "calibration_error": evaluation.expected_calibration_error(
            scores, labels, bins=CALIBRATION_BINS
        ),
    }
    if len(set(groups)) < 2:
        return figures, {}
    ranks = evaluation.true_class_ranks(scores, labels)
    intervals = {
        f"video_top{k}": evaluation.bootstrap_mean(ranks < k, seed=BOOTSTRAP_SEED, clusters=groups)
        for k in limits
    }
    return figures, {name: (interval.low, interval.high) for name, interval in intervals.items()}


def _multi_label_figures(
    clips: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.float32],
    groups: Sequence[str],
) -> Figures:
    figures = {
        "clip_mean_average_precision": evaluation.mean_average_precision(
            clips.reshape(-1, labels.shape[1]), np.repeat(labels, clips.shape[1], axis=0)
        ),
        "video_mean_average_precision": evaluation.mean_average_precision(scores, labels),
    }
    if len(set(groups)) < 2:
        return figures, {}
    interval: Interval = evaluation.bootstrap_statistic(
        lambda rows: evaluation.mean_average_precision(scores[rows], labels[rows]),
        len(labels),
        seed=BOOTSTRAP_SEED,
        clusters=groups,
        resamples=RANKING_RESAMPLES,
    )
    return figures, {"video_mean_average_precision": (interval.low, interval.high)}
