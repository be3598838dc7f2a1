"""Classes of videos: top-k and mean class accuracy, calibration, mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.arrays import FloatArray, IntArray
from vidattn.errors import ArgumentError, MalformedFileError
from vidattn.evaluation.files.answer_files import Answers, read_answers
from vidattn.evaluation.files.recognition_files import (
    VideoLabels,
    read_class_names,
    read_labels,
)
from vidattn.evaluation.files.text_files import shown
from vidattn.evaluation.files.videos import MatchedVideos, match_videos, mean_intervals
from vidattn.evaluation.metrics.classification import (
    average_precisions,
    class_accuracies,
    confusion_matrix,
    expected_calibration_error,
    true_class_ranks,
)
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask
from vidattn.files import write_csv

_NOWHERE = np.iinfo(np.int64).max


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Score recognised classes."""
    several = protocol == "multi-label"
    classes = read_class_names(settings["labels"]) if settings["labels"] else []
    true = read_labels(truth, classes=classes, split=settings["split"], several=several)
    given = _renamed(read_answers(predictions, classes=classes), true)
    matched = match_videos(predictions, given.videos(), true.labels, missing=settings["missing"])
    names = _names(classes, true, given)
    if several:
        return _several(given, true, matched, names, settings)
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers[true.labels[name][0]] for name in matched.names])
    places, first, scores = _places(given, matched.names, labels, names)
    values: dict[str, Sequence[float]] = {
        f"top{k}": (places < k).astype(float).tolist() for k in (1, 5)
    }
    answered = first >= 0
    confusion = confusion_matrix(first[answered], labels[answered], len(names))
    totals = np.bincount(labels, minlength=len(names))
    recall = np.full(len(names), np.nan)
    np.divide(np.diag(confusion), totals, out=recall, where=totals > 0)
    counted = totals > 0
    if protocol == "mmaction2":
        counted |= confusion.sum(axis=0) > 0
    figures = {name: float(np.mean(hits)) for name, hits in values.items()}
    figures["mean_class_accuracy"] = float(np.nan_to_num(recall)[counted].mean())
    if scores is not None and (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        clipped = np.minimum(scores, 1.0)
        figures["calibration_error"] = expected_calibration_error(clipped, labels[answered])
    else:
        matched.notes.append("no calibration error: the scores are no probabilities")
    if settings["confusion"]:
        rows = ([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
        write_csv(settings["confusion"], ["true class", *names], rows)
    counts = {
        **matched.counts,
        "classes": len(names),
        "classes_with_truth": int((totals > 0).sum()),
    }
    table = _table(names, confusion, totals, recall)
    intervals = mean_intervals(values)
    return Score(
        "recognition", protocol, figures, table, counts, matched.notes, settings, intervals
    )


def _several(
    given: Answers,
    true: VideoLabels,
    matched: MatchedVideos,
    names: list[str],
    settings: dict[str, Any],
) -> Score:
    if not given.scores:
        raise MalformedFileError(given.path, 0, "a score for every class", "ranked labels")
    if settings["missing"] == "wrong":
        raise ArgumentError("missing: multi-label knows error and leave-out, got 'wrong'")
    scores = _matrix(given, matched.names, names)
    place = {name: number for number, name in enumerate(names)}
    targets = np.zeros(scores.shape, dtype=np.int64)
    for row, video in enumerate(matched.names):
        targets[row, [place[label] for label in true.labels[video]]] = 1
    precisions = average_precisions(scores, targets)
    positives = targets.sum(axis=0)
    table = {
        name: {"average_precision": float(precisions[column]), "truth": int(positives[column])}
        for column, name in enumerate(names)
    }
    counts = {
        **matched.counts,
        "classes": len(names),
        "classes_with_truth": int((positives > 0).sum()),
    }
    figures = {"mAP": float(np.nanmean(precisions))}
    return Score("recognition", "multi-label", figures, table, counts, matched.notes, settings)


def _renamed(given: Answers, true: VideoLabels) -> Answers:
    """Predictions by bare YouTube id get the truth's full name, where that is one video."""
    full: dict[str, list[str]] = {}
    for name in true.labels:
        bare = name.rsplit("_", 2)
        if len(bare) == 3 and bare[1].isdigit() and bare[2].isdigit():
            full.setdefault(bare[0], []).append(name)
    names = {}
    for video in given.videos():
        longer = full.get(video, [])
        if video not in true.labels and len(longer) > 1:
            given.refuse(
                video, "a name with its times, as it is in the truth more than once", video
            )
        names[video] = longer[0] if video not in true.labels and longer else video
    if len(set(names.values())) < len(names):
        raise MalformedFileError(given.path, 0, "every video once", "one with and without times")
    return given._replace(
        scores={names[video]: row for video, row in given.scores.items()},
        ranked={names[video]: row for video, row in given.ranked.items()},
        lines={names[video]: line for video, line in given.lines.items()},
    )


def _names(classes: list[str], true: VideoLabels, given: Answers) -> list[str]:
    """All classes, in the order of the list, of the columns, or of their names."""
    listed = classes or given.columns
    if listed:
        known = set(listed)
        for video, labels in true.labels.items():
            for label in labels:
                if label not in known:
                    expected = "a class that predictions have"
                    raise MalformedFileError(true.path, true.lines[video], expected, shown(label))
        return list(listed)
    known = {label for labels in true.labels.values() for label in labels}
    for video, labels in given.ranked.items():
        for label in labels:
            if label not in known:
                given.refuse(video, "a class of the truth (or --labels)", shown(label))
    return sorted(known, key=lambda name: (int(name) if name.isdigit() else -1, name))


def _places(
    given: Answers, videos: list[str], labels: IntArray, names: list[str]
) -> tuple[IntArray, IntArray, FloatArray | None]:
    """How many classes rank before the true one, the first class (−1: none), and the scores."""
    places = np.full(len(videos), _NOWHERE)
    first = np.full(len(videos), -1)
    if given.scores:
        rows = np.array([row for row, video in enumerate(videos) if video in given.scores])
        scores = _matrix(given, [videos[row] for row in rows], names)
        places[rows] = true_class_ranks(scores, labels[rows])
        first[rows] = scores.argmax(axis=1)
        return places, first, scores
    numbers = {name: number for number, name in enumerate(names)}
    for row, video in enumerate(videos):
        ranked = given.ranked.get(video, [])
        if ranked:
            first[row] = numbers[ranked[0]]
        if names[labels[row]] in ranked:
            places[row] = ranked.index(names[labels[row]])
    return places, first, None


def _matrix(given: Answers, videos: list[str], names: list[str]) -> FloatArray:
    if sorted(given.columns) != sorted(names):
        lacking = sorted({*names} ^ {*given.columns})
        raise MalformedFileError(
            given.path,
            0,
            f"a score for each of {len(names)} classes",
            f"differing: {shown(lacking)}",
        )
    order = [given.columns.index(name) for name in names]
    return np.array([given.scores[video] for video in videos], dtype=np.float64)[:, order]


def _table(
    names: list[str], confusion: IntArray, totals: IntArray, recall: FloatArray
) -> dict[str, dict[str, float]]:
    precision = class_accuracies(confusion.T)
    return {
        name: {
            "recall": float(recall[number]),
            "precision": float(precision[number]),
            "truth": int(totals[number]),
            "predicted": int(confusion[:, number].sum()),
        }
        for number, name in enumerate(names)
    }


TASK = ScoreTask(
    name="recognition",
    summary="classes of videos: top 1, top 5, mean class accuracy, calibration; mAP",
    predictions="CSV with a header `video,CLASS,CLASS,…` and scores, or `video,label[,score]`; or "
    "JSON: video -> scores, labels from the likeliest down, or {label, score} objects; or "
    "evaluation.json or clip_scores.npz of `vidattn evaluate`",
    truth="Kinetics CSV (label, youtube_id, time_start, time_end, split), or a list of "
    "`path,label` or `path label`",
    protocols={
        "kinetics": "one label for each video; mean class accuracy over the classes of the truth",
        "mmaction2": "as kinetics, but a predicted class that the truth does not have counts as 0",
        "multi-label": "several labels for each video; mean average precision over true classes",
    },
    example="recognition scores.csv kinetics400_val.csv --labels label_map_k400.txt",
    run=run,
    options=(
        Option(
            "labels", Path, "file with the classes, one in each line, in the order of their numbers"
        ),
        Option("split", str, "rows of a Kinetics CSV to score, such as val"),
        Option("confusion", Path, "write the confusion matrix to this CSV file"),
        Option(
            "missing",
            str,
            "what to do with a video without predictions",
            default="error",
            choices=("error", "leave-out", "wrong"),
        ),
    ),
)
