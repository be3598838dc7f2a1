"""Reads what a recogniser made of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.evaluation_results import (
    VideoScores,
    is_evaluation,
    read_clip_scores,
    read_evaluation,
)
from vidattn.evaluation.files.recognition_files import VIDEO_COLUMNS, class_named, video_name
from vidattn.evaluation.files.tables import TextTable, read_rows, read_table
from vidattn.evaluation.files.text_files import shown


class Answers(NamedTuple):
    """What a recogniser said: scores of classes, or classes from the likeliest down.

    Attributes:
        scores: video -> score of every class of `columns`; empty where classes are ranked.
        ranked: video -> names of classes.
        columns: classes of the scores; empty where the file only has their order.
        path: the file.
        lines: video -> 1-based line; empty where nothing can be refused any more.
    """

    scores: dict[str, list[float]]
    ranked: dict[str, list[str]]
    columns: list[str]
    path: Path
    lines: dict[str, int]

    def videos(self) -> list[str]:
        """Names of all videos."""
        return list(self.scores or self.ranked)

    def refuse(self, video: str, expected: str, got: str) -> NoReturn:
        """Raise for one video."""
        raise MalformedFileError(self.path, self.lines.get(video, 0), f"{video}: {expected}", got)


def read_answers(path: Path, *, classes: Sequence[str]) -> Answers:
    """What a recogniser said of videos.

    Args:
        path: CSV with a header of `video` and the classes, a score in each cell; CSV of
            `video,label` or `video,label,score`, a row a guess; JSON: video -> scores in the
            order of `classes`, or -> labels from the likeliest down, or -> object of scores, or
            -> list of {"label", "score"}, all also under "results"; what `vidattn evaluate`
            wrote, evaluation.json or clip_scores.npz.
        classes: names that numbers stand for.

    Raises:
        MalformedFileError: anything else, no number, a video or class twice, other classes.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return _evaluated(path, read_clip_scores(path), classes)
    if path.suffix == ".json":
        document = Document(path)
        if is_evaluation(document.value):
            return _evaluated(path, read_evaluation(document), classes)
        return _json_answers(document, classes)
    rows, lines = read_rows(path)
    header = [cell.strip() for cell in rows[0]]
    if header[0] not in VIDEO_COLUMNS:
        expected = f"a header that begins with one of {', '.join(VIDEO_COLUMNS)}"
        raise MalformedFileError(path, lines[0], expected, shown(",".join(header)))
    table = read_table(path, columns=header, header=True)
    videos = [video_name(name) for name in table.names(header[0])]
    if header[1:] in (["label"], ["label", "score"]):
        return _guesses(table, videos, classes, scored=len(header) == 3)
    table.unique("video", videos)
    columns = [class_named(path, lines[0], name, classes) for name in header[1:]]
    if not columns or len(set(columns)) < len(columns):
        raise MalformedFileError(path, lines[0], "columns of different classes", shown(header[1:]))
    values = np.stack([table.floats(name) for name in header[1:]], axis=1)
    places = dict(zip(videos, table.lines, strict=True))
    return Answers(dict(zip(videos, values.tolist(), strict=True)), {}, columns, path, places)


def _evaluated(path: Path, found: VideoScores, classes: Sequence[str]) -> Answers:
    columns = [class_named(path, 0, name, classes) for name in found.classes]
    names: dict[str, str] = {}
    for video in found.videos:
        if (other := names.setdefault(video_name(video), video)) != video:
            got = f"{shown(other)} and {shown(video)}"
            raise MalformedFileError(path, 0, "different names of videos, without folders", got)
    if len(names) < len(found.videos) or not columns or len(set(columns)) < len(columns):
        raise MalformedFileError(path, 0, "every video and every class once", "some twice, or none")
    return Answers(dict(zip(names, found.rows, strict=True)), {}, columns, path, {})


def _guesses(
    table: TextTable, videos: list[str], classes: Sequence[str], *, scored: bool
) -> Answers:
    labels = [
        class_named(table.path, line, label, classes)
        for label, line in zip(table.names("label"), table.lines, strict=True)
    ]
    table.unique("video and label", videos, labels)
    order: Any = range(len(videos))
    if scored:
        order = np.argsort(-table.floats("score"), kind="stable").tolist()
    ranked: dict[str, list[str]] = {name: [] for name in videos}
    for row in order:
        ranked[videos[row]].append(labels[row])
    places = dict(zip(reversed(videos), reversed(table.lines), strict=True))
    return Answers({}, ranked, [], table.path, places)


def _json_answers(document: Document, classes: Sequence[str]) -> Answers:
    videos = document.mapping(document.value, (), "an object: video -> scores or labels")
    place: tuple[str | int, ...] = ()
    if isinstance(videos.get("results"), dict):
        videos, place = videos["results"], ("results",)
    if not videos:
        document.refuse(place, "at least one video", "none")
    scores: dict[str, list[float]] = {}
    ranked: dict[str, list[str]] = {}
    columns: list[str] = []
    names: dict[str, str] = {}
    for key, entry in videos.items():
        here = (*place, key)
        name = video_name(key)
        if names.setdefault(name, key) != key:
            document.refuse(here, "every video once", f"{shown(key)} and {shown(names[name])}")
        if isinstance(entry, dict):
            mine = [_class_in(document, label, here, classes) for label in entry]
            columns = columns or mine
            if sorted(mine) != sorted(columns):
                document.refuse(here, "the same classes for every video", shown(mine))
            by_class = {
                label: document.number(value, (*here, word))
                for label, (word, value) in zip(mine, entry.items(), strict=True)
            }
            scores[name] = [by_class[label] for label in columns]
        elif entry and isinstance(document.sequence(entry, here, "a list")[0], int | float):
            scores[name] = [document.number(v, (*here, row)) for row, v in enumerate(entry)]
            columns = columns or list(classes) or [str(number) for number in range(len(entry))]
            if len(entry) != len(columns):
                document.refuse(
                    here, f"a score for each of {len(columns)} classes", str(len(entry))
                )
        else:
            ranked[name] = _ranked(document, entry, here, classes)
        if scores and ranked:
            document.refuse(here, "scores for every video, or labels for every video", "both")
    return Answers(scores, ranked, columns, document.path, {})


def _ranked(
    document: Document, entry: Any, place: tuple[str | int, ...], classes: Sequence[str]
) -> list[str]:
    guesses: list[tuple[float, str]] = []
    for row, item in enumerate(document.sequence(entry, place, "a list of labels")):
        score = 0.0
        here = (*place, row)
        if isinstance(item, dict):
            score = document.number(document.member(item, "score", here), (*here, "score"))
            item = document.member(item, "label", here)
        label = _class_in(document, document.text(item, here), here, classes)
        if any(label == other for _, other in guesses):
            document.refuse(here, "every label of a video once", shown(label))
        guesses.append((score, label))
    if not guesses:
        document.refuse(place, "at least one label", "none")
    return [label for _, label in sorted(guesses, key=lambda guess: -guess[0])]


def _class_in(
    document: Document, label: str, place: tuple[str | int, ...], classes: Sequence[str]
) -> str:
    try:
        return class_named(document.path, 0, label, classes)
    except MalformedFileError as error:
        document.refuse(place, error.expected, error.got)
