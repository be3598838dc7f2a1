"""Frame labels of long videos: accuracy, edit score, F1 of segments."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.arrays import IntArray
from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.label_files import (
    FrameLabels,
    read_frame_labels,
    read_label_names,
    refuse_unknown,
)
from vidattn.evaluation.files.text_files import read_text
from vidattn.evaluation.files.videos import MatchedVideos, match_videos, mean_intervals
from vidattn.evaluation.metrics.classification import class_accuracies, confusion_matrix
from vidattn.evaluation.metrics.frame_labels import (
    SegmentCounts,
    edit_score,
    frame_accuracy,
    segment_counts,
    segment_f1,
)
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask

OVERLAPS = (0.1, 0.25, 0.5)
_BACKGROUND = {"tcn": "0", "ms-tcn": "background"}
# Predictions at every n-th frame, repeated n times, may be this much longer than the truth.
_LONGEST_EXCESS = 15


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Score frame labels."""
    codes: dict[str, int] = {}
    true = read_frame_labels(truth, "Y", codes)
    if settings["labels"]:
        for name in read_label_names(settings["labels"]):
            codes.setdefault(name, len(codes))
    settings = {**settings, "background": settings["background"] or _BACKGROUND[protocol]}
    listed = [] if settings["background"] == "none" else settings["background"].split(",")
    background = [codes.setdefault(name, len(codes)) for name in listed]
    known = len(codes)
    given = read_frame_labels(predictions, "P", codes)
    matched = match_videos(
        predictions, given, _expected(true, settings["videos"]), missing=settings["missing"]
    )
    names = {number: label for label, number in codes.items()}
    _check(given, true, matched, known, names, protocol, settings["unlisted"])
    figures, values = _figures(given, true, matched.names, background, protocol)
    intervals = {} if protocol == "ms-tcn" else mean_intervals(values)
    every = [(_cut(given[name], true[name]), true[name].codes) for name in matched.names]
    counts = {**matched.counts, "frames": sum(len(own) for _, own in every)}
    classes = _classes(every, names)
    return Score(
        "frame_labels", protocol, figures, classes, counts, matched.notes, settings, intervals
    )


def _figures(
    given: dict[str, FrameLabels],
    true: dict[str, FrameLabels],
    videos: list[str],
    background: list[int],
    protocol: str,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    rows: dict[str, list[list[float]]] = {}
    pooled = np.zeros((len(OVERLAPS), 3), dtype=np.int64)
    hits = frames = 0.0
    for name in videos:
        ours, theirs = given[name].codes, true[name].codes
        counts = segment_counts(ours, theirs, OVERLAPS, background)
        pooled += np.array(counts)
        accuracy = frame_accuracy(_cut(given[name], true[name]), theirs)
        hits, frames = hits + round(accuracy * len(theirs)), frames + len(theirs)
        edit = edit_score(ours, theirs, background)
        row = [accuracy, edit, *(segment_f1(count) for count in counts)]
        rows.setdefault(true[name].split, []).append(row)
    titles = ["accuracy", "edit", *(f"F1@{overlap * 100:g}" for overlap in OVERLAPS)]
    means = np.mean([np.mean(split, axis=0) for split in rows.values()], axis=0)
    every = np.concatenate([np.array(split) for split in rows.values()])
    if protocol == "ms-tcn":
        f1 = [segment_f1(SegmentCounts(*row)) for row in pooled.tolist()]
        means = np.array([hits / frames, every[:, 1].mean(), *f1])
    figures = dict(zip(titles, means.tolist(), strict=True))
    values = dict(zip(titles, every.T.tolist(), strict=True)) if len(rows) == 1 else {}
    return figures, values


def _check(
    given: dict[str, FrameLabels],
    true: dict[str, FrameLabels],
    matched: MatchedVideos,
    known: int,
    names: dict[int, str],
    protocol: str,
    unlisted: str,
) -> None:
    foreign: set[int] = set()
    longer = 0
    for name in matched.names:
        ours, theirs = given[name], true[name]
        excess = len(ours.codes) - len(theirs.codes)
        if excess and not (protocol == "ms-tcn" and 0 < excess <= _LONGEST_EXCESS):
            expected = f"{len(theirs.codes)} labels for {name}, as in {theirs.path.name}"
            raise MalformedFileError(ours.path, 0, expected, str(len(ours.codes)))
        longer += excess > 0
        unknown = np.unique(ours.codes[ours.codes >= known]).tolist()
        if unknown and unlisted == "error":
            refuse_unknown(ours, unknown[0], names)
        foreign.update(unknown)
    if longer:
        matched.notes.append(
            f"{longer} videos have a few more predicted than true frames: the segments of all of "
            "them count, the accuracy is of the true ones"
        )
    if foreign:
        listed = ", ".join(names[code] for code in sorted(foreign))
        matched.notes.append(f"labels that the truth does not have count as wrong: {listed}")


def _expected(true: dict[str, FrameLabels], listing: Path | None) -> list[str]:
    if listing is None:
        return list(true)
    wanted = {}
    for number, line in enumerate(read_text(listing).splitlines(), start=1):
        name = line.strip().split("/")[-1].split(".")[0]
        if name and name not in true:
            raise MalformedFileError(listing, number, "a video of the truth", name)
        if name:
            wanted[name] = number
    return list(wanted)


def _cut(given: FrameLabels, true: FrameLabels) -> IntArray:
    return given.codes[: len(true.codes)]


def _classes(
    every: Iterable[tuple[IntArray, IntArray]], names: dict[int, str]
) -> dict[str, dict[str, float]]:
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    for ours, theirs in every:
        table += confusion_matrix(ours, theirs, len(names))
    recall = class_accuracies(table)
    found = {}
    for code in np.flatnonzero(table.sum(axis=1) + table.sum(axis=0)).tolist():
        predicted = int(table[:, code].sum())
        found[names[code]] = {
            "recall": float(recall[code]),
            "precision": table[code, code] / predicted if predicted else float("nan"),
            "frames": int(table[code].sum()),
            "predicted_frames": predicted,
        }
    return dict(sorted(found.items()))


TASK = ScoreTask(
    name="frame_labels",
    summary="labels of the frames of a video: accuracy, edit score and F1 of segments",
    predictions="folder of text files, a label a frame on its own line or all below a `###` "
    "heading; or a MATLAB file, or a folder of them (one a split), with `P`",
    truth="folder of text files with a label a line; or MATLAB files with `Y`",
    protocols={
        "tcn": "means over videos, then over splits; background label 0 (Lea et al. 2017)",
        "ms-tcn": "accuracy of all frames, mean edit score, F1 of the counts of all videos; "
        "background label `background` (Abu Farha and Gall 2019)",
    },
    example="frame_labels results/split_1 groundTruth --protocol ms-tcn",
    run=run,
    options=(
        Option(
            "background", str, "labels whose segments do not count, separated by commas; or none"
        ),
        Option("videos", Path, "file with the videos to score, one in each line"),
        Option(
            "labels", Path, "file with all labels; each line has a label, or a number and a label"
        ),
        Option(
            "missing",
            str,
            "what to do with a video without predictions",
            default="error",
            choices=("error", "leave-out"),
        ),
        Option(
            "unlisted",
            str,
            "what to do with predicted labels that the truth does not have",
            default="error",
            choices=("error", "wrong"),
        ),
    ),
)
