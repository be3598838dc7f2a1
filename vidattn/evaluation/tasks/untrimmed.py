"""Labels of whole untrimmed videos, as ActivityNet scores its classification."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import ArgumentError
from vidattn.evaluation.files.segment_files import SegmentTable, read_predictions, read_truth
from vidattn.evaluation.files.text_files import shown
from vidattn.evaluation.metrics.matching import members
from vidattn.evaluation.metrics.precision import average_precision, by_score
from vidattn.evaluation.tasks.localisation import count_videos
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Mean average precision over classes, and hits among the surest labels of a video."""
    if settings["top"] < 1:
        raise ArgumentError(f"top: expected a positive count, got {settings['top']}")
    given = read_truth(truth, subset=settings["subset"])
    found = read_predictions(predictions, segments=False)
    classes = {label: number for number, label in enumerate(dict.fromkeys(given.labels))}
    for row, label in enumerate(found.labels):
        if label not in classes:
            place = (*found.places[row], "label")
            found.document.refuse(place, "a label of the truth", shown(label))
    pairs = zip(given.video.tolist(), given.labels, strict=True)
    wanted = {(given.videos[video], label) for video, label in pairs}
    videos = [found.videos[place] for place in found.video]
    order = by_score(found.scores)
    hits = _hits(videos, found.labels, order, wanted)
    positives = Counter(label for _, label in wanted)
    own = np.array([classes[found.labels[row]] for row in order], np.int64)
    table: dict[str, dict[str, float]] = {}
    for label, mine in zip(classes, members(own, len(classes)), strict=True):
        value = average_precision(hits[mine], positives[label])
        table[label] = {
            "average_precision": value,
            "truth": positives[label],
            "predictions": len(mine),
        }
    shares = _shares(found, videos, order, wanted, settings["top"])
    figures = {
        "mAP": float(np.mean([one["average_precision"] for one in table.values()])),
        f"hit@{settings['top']}": float(np.mean(shares > 0)),
        f"average_hit@{settings['top']}": float(np.mean(shares)),
    }
    counts = count_videos(found, given)
    counts["truth_labels"] = len(wanted)
    del counts["truth_segments"]
    used = {**settings, "subset": given.subset}
    return Score("untrimmed", protocol, figures, table, counts, settings=used)


def _hits(
    videos: list[str],
    labels: list[str],
    order: NDArray[np.int64],
    wanted: set[tuple[str, str]],
) -> NDArray[np.bool_]:
    """By score: whether a prediction is the first right one of its video and label."""
    left = set(wanted)
    hits = np.zeros(len(order), bool)
    for place, row in enumerate(order.tolist()):
        pair = (videos[row], labels[row])
        if pair in left:
            left.remove(pair)
            hits[place] = True
    return hits


def _shares(
    found: SegmentTable,
    videos: list[str],
    order: NDArray[np.int64],
    wanted: set[tuple[str, str]],
    top: int,
) -> NDArray[np.float64]:
    """Of each video with truth, the share of its labels among its surest predictions."""
    surest: dict[str, list[str]] = {}
    for row in order.tolist():
        own = surest.setdefault(videos[row], [])
        if len(own) < top:
            own.append(found.labels[row])
    labels: dict[str, list[str]] = {}
    for video, label in sorted(wanted):
        labels.setdefault(video, []).append(label)
    return np.array(
        [np.mean([one in surest.get(video, []) for one in own]) for video, own in labels.items()]
    )


TASK = ScoreTask(
    name="untrimmed",
    summary="labels of whole untrimmed videos: ActivityNet's mAP and hit@k",
    predictions='JSON: {"results": {video: [{"label", "score"}]}}',
    truth='JSON: {"database": {video: {"subset", "annotations": [{"label", "segment"}]}}}, or '
    "MMAction2's videos at the top",
    protocols={"official": "ActivityNet Evaluation/eval_classification.py"},
    example="untrimmed predictions.json activity_net.v1-3.min.json --top 3",
    run=run,
    options=(
        Option(
            "subset", str, "subset of the truth to score (default: validation, or the only one)"
        ),
        Option("top", int, "number of highest scores of a video that may match", 3),
    ),
)
