"""Reads labels of videos and what a recogniser made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.tables import TextTable, read_rows, read_table
from vidattn.evaluation.files.text_files import read_text, shown

_KINETICS = ("label", "youtube_id", "time_start", "time_end", "split")
_VIDEO = ("video", "path", "youtube_id", "name", "file")


class VideoLabels(NamedTuple):
    """True labels.

    Attributes:
        labels: video -> names of its classes.
        lines: video -> 1-based line.
        path: the file.
    """

    labels: dict[str, list[str]]
    lines: dict[str, int]
    path: Path


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


def read_class_names(path: Path) -> list[str]:
    """A class a line, in the order of their numbers; every class once."""
    names = [line.strip() for line in read_text(path).rstrip().split("\n")]
    for number, name in enumerate(names, start=1):
        if not name or name in names[: number - 1]:
            raise MalformedFileError(path, number, "a class of its own", shown(name))
    return names


def read_labels(
    path: Path, *, classes: Sequence[str], split: str | None, several: bool
) -> VideoLabels:
    """True labels of videos.

    Args:
        path: Kinetics CSV (label, youtube_id, time_start, time_end, split), or a list of
            `path,label` or `path label`.
        classes: names that numbers stand for; empty: labels stay as they are written.
        split: of a Kinetics CSV, the rows to read; None: all.
        several: a video may have several labels (`path 3 17`, or several rows).

    Raises:
        MalformedFileError: no label, two labels, a class that is not among `classes`.
    """
    path = Path(path)
    rows, lines = read_rows(path)
    header = [cell.strip() for cell in rows[0]]
    if "youtube_id" in header:
        pairs = _kinetics(path, split)
    elif len(header) > 1:
        first = header[0] in _VIDEO and header[1] == "label"
        pairs = [
            (_cell(path, row, 0, line), [_cell(path, row, column, line)], line)
            for row, line in list(zip(rows, lines, strict=True))[first:]
            for column in range(1, max(len(row), 2))
        ]
    else:
        pairs = _spaced(path)
    found: dict[str, list[str]] = {}
    places: dict[str, int] = {}
    for name, labels, line in pairs:
        video = video_name(name)
        for label in labels:
            known = _class(path, line, label, classes)
            mine = found.setdefault(video, [])
            if known in mine or (mine and not several):
                expected = "every label of a video once" if several else "one label for each video"
                got = f"{shown(video)} again, first on line {places[video]}"
                raise MalformedFileError(path, line, expected, got)
            places.setdefault(video, line)
            mine.append(known)
    return VideoLabels(found, places, path)


def read_answers(path: Path, *, classes: Sequence[str]) -> Answers:
    """What a recogniser said of videos.

    Args:
        path: CSV with a header of `video` and the classes, a score in each cell; CSV of
            `video,label` or `video,label,score`, a row a guess; JSON: video -> scores in the
            order of `classes`, or -> labels from the likeliest down, or -> object of scores, or
            -> list of {"label", "score"}, all also under "results".
        classes: names that numbers stand for.

    Raises:
        MalformedFileError: anything else, no number, a video or class twice, other classes.
    """
    path = Path(path)
    if path.suffix == ".json":
        return _json_answers(Document(path), classes)
    rows, lines = read_rows(path)
    header = [cell.strip() for cell in rows[0]]
    if header[0] not in _VIDEO:
        expected = f"a header that begins with one of {', '.join(_VIDEO)}"
        raise MalformedFileError(path, lines[0], expected, shown(",".join(header)))
    table = read_table(path, columns=header, header=True)
    videos = [video_name(name) for name in table.names(header[0])]
    if header[1:] in (["label"], ["label", "score"]):
        return _guesses(table, videos, classes, scored=len(header) == 3)
    table.unique("video", videos)
    columns = [_class(path, lines[0], name, classes) for name in header[1:]]
    if not columns or len(set(columns)) < len(columns):
        raise MalformedFileError(path, lines[0], "columns of different classes", shown(header[1:]))
    values = np.stack([table.floats(name) for name in header[1:]], axis=1)
    places = dict(zip(videos, table.lines, strict=True))
    return Answers(dict(zip(videos, values.tolist(), strict=True)), {}, columns, path, places)


def video_name(path: str) -> str:
    """A video's name: its path without folders and the suffix of a media file.

    >>> video_name("val/abseiling/-7kbO0v4hag_000107_000117.mp4")
    '-7kbO0v4hag_000107_000117'
    """
    name = path.replace("\\", "/").rstrip("/").split("/")[-1]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.isalnum() and len(suffix) <= 4 and stem else name


def _kinetics(path: Path, split: str | None) -> list[tuple[str, list[str], int]]:
    table = read_table(path, columns=_KINETICS, header=True)
    starts, ends = table.floats("time_start", low=0), table.floats("time_end", low=0)
    if (reversed_ := starts >= ends).any():
        row = int(reversed_.argmax())
        table.refuse(row, "time_start < time_end", f"{starts[row]:g}, {ends[row]:g}")
    labels, videos, splits = (table.names(name) for name in ("label", "youtube_id", "split"))
    if split is not None and split not in splits:
        raise MalformedFileError(path, 0, f"rows of split {split!r}", ", ".join(sorted({*splits})))
    return [
        (f"{video}_{int(start):06d}_{int(end):06d}", [label], line)
        for label, video, start, end, own, line in zip(
            labels, videos, starts, ends, splits, table.lines, strict=True
        )
        if split in (None, own)
    ]


def _spaced(path: Path) -> list[tuple[str, list[str], int]]:
    rows, lines = read_rows(path, separator=None)
    pairs = []
    for cells, line in zip(rows, lines, strict=True):
        if len(cells) < 2:
            raise MalformedFileError(path, line, "a path and a label", shown(" ".join(cells)))
        numbered = all(cell.isdigit() for cell in cells[1:])
        pairs.append((cells[0], cells[1:] if numbered else [" ".join(cells[1:])], line))
    return pairs


def _guesses(
    table: TextTable, videos: list[str], classes: Sequence[str], *, scored: bool
) -> Answers:
    labels = [
        _class(table.path, line, label, classes)
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


def _class(path: Path, line: int, label: str, classes: Sequence[str]) -> str:
    if not classes or label in classes:
        return label
    if label.isdigit() and int(label) < len(classes):
        return classes[int(label)]
    raise MalformedFileError(path, line, "a class of the list of classes", shown(label))


def _class_in(
    document: Document, label: str, place: tuple[str | int, ...], classes: Sequence[str]
) -> str:
    try:
        return _class(document.path, 0, label, classes)
    except MalformedFileError as error:
        document.refuse(place, error.expected, error.got)


def _cell(path: Path, row: list[str], column: int, line: int) -> str:
    cell = row[column].strip() if column < len(row) else ""
    if not cell:
        raise MalformedFileError(path, line, "a path and a label", shown(",".join(row)))
    return cell
