"""Class-agnostic segments: recall against how many of them are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import ArgumentError
from vidattn.evaluation.files.segment_files import SegmentTable, read_predictions, read_truth
from vidattn.evaluation.metrics.matching import pairs
from vidattn.evaluation.metrics.precision import by_score
from vidattn.evaluation.tasks.localisation import (
    count_videos,
    overlap_in_time,
    read_thresholds,
    without_repeats,
)
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask

_SHOWN = (1, 5, 10, 50, 100)


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Area under average recall over average number of proposals, and points of that curve."""
    thresholds = read_thresholds(settings["thresholds"])
    most = settings["proposals"]
    if most < 1:
        raise ArgumentError(f"proposals: expected a positive count, got {most}")
    given = read_truth(truth, subset=settings["subset"])
    found = read_predictions(predictions, labelled=False)
    counts: dict[str, int] = {}
    if protocol == "opentad":
        given = without_repeats(given, counts)
    recall, per_video = _recall(
        found, given, thresholds, most, 100 if protocol == "official" else most
    )
    average = recall.mean(axis=0)
    area = float(np.sum(np.diff(per_video) * (average[1:] + average[:-1]) / 2))
    figures = {"AUC": area / float(per_video[-1])}
    for count in _SHOWN:
        if count <= most and count <= len(average):
            figures[f"AR@{count}"] = float(average[count - 1])
    used = {**settings, "subset": given.subset, "thresholds": thresholds.tolist()}
    return Score(
        "proposals",
        protocol,
        figures,
        counts={**count_videos(found, given), **counts},
        settings=used,
    )


def _recall(
    found: SegmentTable,
    given: SegmentTable,
    thresholds: NDArray[np.float64],
    most: int,
    points: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(thresholds, points) recall, and (points,) the average number of proposals.

    Videos differ in length, so each gives the same share of its proposals, not the same number.
    """
    videos = np.unique(given.video)
    places = {given.videos[own]: place for place, own in enumerate(videos)}
    video = np.array([places.get(name, -1) for name in found.videos], np.int64)[found.video]
    order = by_score(found.scores)
    order = order[np.argsort(video[order], kind="stable")]
    video = video[order]
    offered = np.bincount(video[video >= 0], minlength=len(videos))
    ratio = most * float(len(videos)) / len(found.video)
    kept = np.minimum((offered * ratio).astype(np.int64), offered)
    if not kept.sum():
        raise ArgumentError("proposals: of no video with truth is a single one looked at")
    begins = np.searchsorted(video, np.arange(len(videos)))
    rank = np.arange(len(video)) - np.where(video >= 0, begins[video], 0)
    looked_at = (video >= 0) & (rank < kept[video])
    order, video, rank = order[looked_at], video[looked_at], rank[looked_at]
    truth = np.searchsorted(videos, given.video)
    left, right = pairs(video, truth)
    overlaps = overlap_in_time(found.times[order][left], given.times[right])
    overlaps[np.isnan(overlaps)] = 0.0
    shares = np.arange(1, points + 1) / points * (most * float(len(videos)) / kept.sum())
    shown = np.minimum((kept[:, None] * shares).astype(np.int64), kept[:, None])[truth]
    recall = np.empty((len(thresholds), points))
    for row, threshold in enumerate(thresholds):
        first = np.full(len(truth), len(order) + 1, np.int64)
        fits = overlaps >= threshold
        np.minimum.at(first, right[fits], rank[left[fits]])
        recall[row] = (first[:, None] < shown).sum(axis=0) / len(truth)
    return recall, shares * (float(kept.sum()) / len(videos))


TASK = ScoreTask(
    name="proposals",
    summary="segments in time without labels: average recall over the number of proposals",
    predictions='JSON: {"results": {video: [{"score", "segment": [start, end]}]}}',
    truth='JSON: {"database": {video: {"subset", "annotations": [{"label", "segment"}]}}}, or '
    "MMAction2's videos at the top",
    protocols={
        "official": "ActivityNet Evaluation/eval_proposal.py: every truth segment counts",
        "opentad": "OpenTAD opentad/evaluations/recall.py: repeated and empty truth segments are "
        "left out",
    },
    example="proposals results.json truth.json --proposals 100",
    run=run,
    options=(
        Option(
            "subset", str, "subset of the truth to score (default: validation, or the only one)"
        ),
        Option("thresholds", str, "activitynet, thumos, or numbers such as 0.3,0.5", "activitynet"),
        Option("proposals", int, "maximum average number of proposals for each video", 100),
    ),
)
