"""Actions in time in untrimmed videos, as ActivityNet and THUMOS score them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import ArgumentError
from vidattn.evaluation.files.segment_files import SegmentTable, read_predictions, read_truth
from vidattn.evaluation.files.text_files import shown
from vidattn.evaluation.metrics.matching import greedy_hits, members, pairs
from vidattn.evaluation.metrics.precision import average_precision, by_score
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask

_THRESHOLDS = {
    "activitynet": np.linspace(0.5, 0.95, 10),
    "thumos": np.array([0.3, 0.4, 0.5, 0.6, 0.7]),
}
_SAME_SECONDS = 1e-3


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Mean average precision over classes at each threshold, and their mean."""
    thresholds = read_thresholds(settings["thresholds"])
    given = read_truth(truth, subset=settings["subset"])
    found = read_predictions(predictions)
    counts: dict[str, int] = {}
    notes: list[str] = []
    if protocol == "opentad":
        given = without_repeats(given, counts)
    classes = {label: number for number, label in enumerate(dict.fromkeys(given.labels))}
    found = _known(found, classes, protocol, counts, notes)
    order = by_score(found.scores)
    own = np.array([classes[found.labels[row]] for row in order], np.int64)
    hits = _hits(found, order, own, given, classes, thresholds, protocol)
    positives = np.bincount([classes[label] for label in given.labels], minlength=len(classes))
    table: dict[str, dict[str, float]] = {}
    values = np.zeros((len(thresholds), len(classes)))
    of_class = members(own, len(classes))
    for label, number in classes.items():
        mine = of_class[number]
        count = int(positives[number])
        values[:, number] = [average_precision(row, count) for row in hits[:, mine]]
        table[label] = {
            "average_precision": float(values[:, number].mean()),
            "truth": count,
            "predictions": len(mine),
        }
    means = values.mean(axis=1)
    figures = {"average_mAP": float(means.mean())}
    figures |= {
        f"mAP@{level:g}": float(mean) for level, mean in zip(thresholds, means, strict=True)
    }
    counts = {**count_videos(found, given), "classes": len(classes), **counts}
    used = {**settings, "subset": given.subset, "thresholds": thresholds.tolist()}
    return Score("localisation", protocol, figures, table, counts, notes, used)


def read_thresholds(text: str) -> NDArray[np.float64]:
    """Least overlaps: the name of a data set, or numbers with commas between them."""
    if text in _THRESHOLDS:
        return _THRESHOLDS[text]
    try:
        found = np.array([float(part) for part in str(text).split(",")])
    except ValueError:
        found = np.zeros(1)
    if not ((found > 0) & (found <= 1)).all():
        names = ", ".join(_THRESHOLDS)
        raise ArgumentError(
            f"thresholds: expected {names}, or numbers in (0, 1] such as 0.3,0.5, got {text!r}"
        )
    return found


def count_videos(found: SegmentTable, given: SegmentTable) -> dict[str, int]:
    """How many videos were expected, have predictions, and are not in the truth."""
    expected, predicted = set(given.videos), {found.videos[own] for own in np.unique(found.video)}
    return {
        "videos": len(expected),
        "videos_without_predictions": len(expected - predicted),
        "predicted_videos_not_in_truth": len(predicted - expected),
        "truth_segments": len(given.video),
        "predictions": len(found.video),
    }


def without_repeats(given: SegmentTable, counts: dict[str, int]) -> SegmentTable:
    """Truth without empty segments, and without a second one of the same label and time."""
    lengths = given.times[:, 1] - given.times[:, 0]
    kept: dict[tuple[int, str], list[NDArray[np.float64]]] = {}
    rows = []
    for row in np.flatnonzero(lengths > 0):
        others = kept.setdefault((int(given.video[row]), given.labels[row]), [])
        time = given.times[row]
        if not any((abs(time - other) <= _SAME_SECONDS).all() for other in others):
            others.append(time)
            rows.append(row)
    if not rows:
        given.document.refuse((), "at least one segment that is not empty", "none")
    counts["empty_truth_segments"] = int((lengths <= 0).sum())
    counts["repeated_truth_segments"] = int((lengths > 0).sum()) - len(rows)
    return given.keep(np.array(rows, np.int64))


def overlap_in_time(
    first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Intersection over union, row by row, of (N, 2) segments; NaN of two points."""
    shared = np.minimum(first[:, 1], second[:, 1]) - np.maximum(first[:, 0], second[:, 0])
    shared = np.maximum(shared, 0.0)
    with np.errstate(invalid="ignore"):
        whole = (second[:, 1] - second[:, 0]) + (first[:, 1] - first[:, 0]) - shared
        found: NDArray[np.float64] = shared / whole
    return found


def _known(
    found: SegmentTable,
    classes: dict[str, int],
    protocol: str,
    counts: dict[str, int],
    notes: list[str],
) -> SegmentTable:
    known = np.array([label in classes for label in found.labels], bool)
    if not known.all() and protocol == "official":
        row = int((~known).argmax())
        place = (*found.places[row], "label")
        found.document.refuse(place, "a label of the truth", shown(found.labels[row]))
    if protocol == "opentad":
        counts["predictions_of_unknown_labels"] = int((~known).sum())
        if not known.all():
            labels = sorted({found.labels[row] for row in np.flatnonzero(~known)})
            notes.append(f"labels that the truth does not have: {', '.join(labels)}")
    return found if known.all() else found.keep(np.flatnonzero(known))


def _hits(
    found: SegmentTable,
    order: NDArray[np.int64],
    own: NDArray[np.int64],
    given: SegmentTable,
    classes: dict[str, int],
    thresholds: NDArray[np.float64],
    protocol: str,
) -> NDArray[np.bool_]:
    """(thresholds, predictions by score): what hits."""
    places = {name: place for place, name in enumerate(given.videos)}
    video = np.array([places.get(name, -1) for name in found.videos], np.int64)[found.video[order]]
    groups = np.where(video < 0, -1, video * len(classes) + own)
    truth = given.video * len(classes) + np.array([classes[label] for label in given.labels])
    left, right = pairs(groups, truth)
    overlaps = overlap_in_time(found.times[order][left], given.times[right])
    # Two points overlap by 0 / 0: the official script takes NaN for a perfect overlap.
    overlaps[np.isnan(overlaps)] = np.inf if protocol == "official" else 0.0
    near = overlaps >= thresholds.min()
    return greedy_hits(groups, left[near], right[near], overlaps[near], thresholds) >= 0


TASK = ScoreTask(
    name="localisation",
    summary="actions in time in untrimmed videos: mAP of ActivityNet and THUMOS",
    predictions='JSON: {"results": {video: [{"label", "score", "segment": [start, end]}]}}',
    truth='JSON: {"database": {video: {"subset", "annotations": [{"label", "segment"}]}}}, or '
    "MMAction2's videos at the top",
    protocols={
        "official": "ActivityNet Evaluation/eval_detection.py: every truth segment counts, "
        "an unknown label is an error",
        "opentad": "OpenTAD opentad/evaluations/mAP.py: repeated and empty truth segments are "
        "left out, unknown labels are a class that does not count",
    },
    example="localisation results.json truth.json --protocol opentad --subset test "
    "--thresholds thumos",
    run=run,
    options=(
        Option(
            "subset", str, "subset of the truth to score (default: validation, or the only one)"
        ),
        Option("thresholds", str, "activitynet, thumos, or numbers such as 0.3,0.5", "activitynet"),
    ),
)
