"""Reads the scores of videos that `vidattn evaluate` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.array_files import numbers, read_archive
from vidattn.evaluation.files.documents import Document


class VideoScores(NamedTuple):
    """Scores of videos, as they were written.

    Attributes:
        videos: names, in the order of the file.
        classes: names of the columns.
        rows: of each video, a score of each class.
    """

    videos: list[str]
    classes: list[str]
    rows: list[list[float]]


def is_evaluation(value: Any) -> bool:
    """Whether JSON is an `evaluation.json` of a recognition."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("classes"), list)
        and isinstance(value.get("videos"), list)
    )


def read_evaluation(document: Document) -> VideoScores:
    """`classes`, and `video` and `scores` of each of the `videos`, of an `evaluation.json`.

    Raises:
        MalformedFileError: one of these is missing, or is no name or number.
    """
    classes = [
        document.text(name, ("classes", number))
        for number, name in enumerate(document.value["classes"])
    ]
    videos, rows = [], []
    for number, entry in enumerate(document.value["videos"]):
        place = ("videos", number)
        name = document.member(entry, "video", place)
        videos.append(document.text(name, (*place, "video")))
        here = (*place, "scores")
        row = document.sequence(document.member(entry, "scores", place), here, "a list of scores")
        if len(row) != len(classes):
            document.refuse(here, f"a score for each of {len(classes)} classes", str(len(row)))
        rows.append([document.number(score, (*here, at)) for at, score in enumerate(row)])
    return VideoScores(videos, classes, rows)


def read_clip_scores(path: Path) -> VideoScores:
    """`videos`, `classes` and `scores` of a `clip_scores.npz`.

    Without `scores`, those of a video are the mean of its `clip_scores` (videos, clips, classes).

    Raises:
        MalformedFileError: one of these is missing, has another shape, or is not finite.
    """
    arrays = read_archive(path)
    key = "scores" if "scores" in arrays else "clip_scores"
    for name in ("videos", "classes", key):
        if name not in arrays:
            raise MalformedFileError(path, 0, f"an array {name!r}", ", ".join(sorted(arrays)))
    videos, classes = (
        [str(each) for each in arrays[name].ravel()] for name in ("videos", "classes")
    )
    scores = numbers(path, key, arrays[key])
    if scores.ndim == 3 and key == "clip_scores" and scores.shape[1]:
        scores = scores.mean(axis=1)
    if scores.shape != (len(videos), len(classes)):
        expected = f"{key}: a score for each of {len(videos)} videos and {len(classes)} classes"
        raise MalformedFileError(path, 0, expected, str(np.shape(arrays[key])))
    return VideoScores(videos, classes, scores.tolist())
