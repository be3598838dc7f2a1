"""Reads labels of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.tables import read_rows, read_table
from vidattn.evaluation.files.text_files import read_text, shown

_KINETICS = ("label", "youtube_id", "time_start", "time_end", "split")
VIDEO_COLUMNS = ("video", "path", "youtube_id", "name", "file")


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
        first = header[0] in VIDEO_COLUMNS and header[1] == "label"
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
            known = class_named(path, line, label, classes)
            mine = found.setdefault(video, [])
            if known in mine or (mine and not several):
                expected = "every label of a video once" if several else "one label for each video"
                got = f"{shown(video)} again, first on line {places[video]}"
                raise MalformedFileError(path, line, expected, got)
            places.setdefault(video, line)
            mine.append(known)
    return VideoLabels(found, places, path)


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


def class_named(path: Path, line: int, label: str, classes: Sequence[str]) -> str:
    """The class that a label means: itself, or that of its number.

    Raises:
        MalformedFileError: there are classes, and it is none of them.
    """
    if not classes or label in classes:
        return label
    if label.isdigit() and int(label) < len(classes):
        return classes[int(label)]
    raise MalformedFileError(path, line, "a class of the list of classes", shown(label))


def _cell(path: Path, row: list[str], column: int, line: int) -> str:
    cell = row[column].strip() if column < len(row) else ""
    if not cell:
        raise MalformedFileError(path, line, "a path and a label", shown(",".join(row)))
    return cell
