"""Reads the files of AVA: boxes with actions, lists of classes, timestamps to leave out.

Source: https://research.google.com/ava/download.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.tables import TextTable, read_rows, read_table
from vidattn.evaluation.files.text_files import read_text, shown

FrameKey = tuple[str, str]

_BOX = ("video", "timestamp", "x1", "y1", "x2", "y2", "action")
_ENTRY = re.compile(r"(?:item|label)\s*\{([^{}]*)\}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_FIELD = re.compile(r'\b(id|label_id|name|display_name)\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(\S+))')


@dataclass(frozen=True)
class BoxRows:
    """Rows of one file.

    Attributes:
        path, lines: where each row stands.
        frames: keys of all frames, in the order in which they come first.
        frame: (R,) position in `frames`.
        classes: (R,) action numbers.
        boxes: (R, 4) x1, y1, x2, y2.
        scores: (R,) the eighth column; 1 without one.
    """

    path: Path
    lines: NDArray[np.int64]
    frames: list[FrameKey]
    frame: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def keep(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> BoxRows:
        """Some of the rows; all frames stay listed."""
        return BoxRows(
            self.path,
            self.lines[rows],
            self.frames,
            self.frame[rows],
            self.classes[rows],
            self.boxes[rows],
            self.scores[rows],
        )


def read_boxes(path: Path, *, whole_seconds: bool, empty_frames: bool) -> BoxRows:
    """A CSV file without header: video, timestamp, x1, y1, x2, y2, action, perhaps an eighth.

    The eighth column is the score of a prediction, the person in the truth.

    Args:
        path: the file.
        whole_seconds: refuse timestamps that are no whole numbers.
        empty_frames: accept rows of two cells, which list a frame without boxes.

    Raises:
        MalformedFileError: rows of another length, reversed boxes, cells that are no finite
            numbers, actions below 1.
    """
    rows, lines = read_rows(path)
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    allowed = [2, 7, 8] if empty_frames else [7, 8]
    wrong = ~np.isin(lengths, allowed)
    if wrong.any():
        row = int(wrong.argmax())
        expected = f"{', '.join(map(str, allowed))} cells ({', '.join(_BOX)}, score)"
        got = f"{lengths[row]}: {shown(','.join(rows[row]))}"
        raise MalformedFileError(path, lines[row], expected, got)
    stamps = TextTable(path, _columns(rows, 0, 2), lines)
    frames, frame = _frames(stamps, whole_seconds=whole_seconds)
    full = np.flatnonzero(lengths > 2)
    if len(full) < len(rows):
        rows, lines = [rows[row] for row in full], [lines[row] for row in full]
    if not rows:
        nothing = np.zeros(0)
        whole = nothing.astype(np.int64)
        return BoxRows(path, whole, frames, whole, whole, np.zeros((0, 4)), nothing)
    cells = _columns(rows, 2, 7)
    if lengths.max() > 7:
        cells["score"] = [row[7] if len(row) > 7 else "1" for row in rows]
    table = TextTable(path, cells, lines)
    boxes = np.stack([table.floats(name) for name in _BOX[2:6]], axis=1)
    _refuse_reversed(table, boxes)
    classes = table.integers("action", low=1)
    scores = table.floats("score") if "score" in cells else np.ones(len(rows))
    return BoxRows(path, np.array(lines), frames, frame[full], classes, boxes, scores)


def _columns(rows: list[list[str]], start: int, stop: int) -> dict[str, list[str]]:
    places = range(start, stop)
    return {_BOX[place]: [row[place].strip() for row in rows] for place in places}


def read_classes(path: Path) -> dict[int, str]:
    """Class numbers and names of a list in protocol buffer text: `item { name: … id: … }`.

    Raises:
        MalformedFileError: no entries, an entry without name or number, numbers below 1 or
            twice.
    """
    text = read_text(path)
    classes: dict[int, str] = {}
    for entry in _ENTRY.finditer(text):
        line = text.count("\n", 0, entry.start()) + 1
        found = {name: quoted or plain for name, quoted, plain in _FIELD.findall(entry.group(1))}
        name = found.get("name", found.get("display_name"))
        number = found.get("id", found.get("label_id"))
        if name is None or number is None or not _NUMBER.fullmatch(number):
            expected = "an entry with `name` and a positive `id` or `label_id`"
            raise MalformedFileError(path, line, expected, shown(" ".join(entry.group().split())))
        if int(number) in classes:
            raise MalformedFileError(path, line, "every id once", f"{number} again")
        classes[int(number)] = name
    if not classes:
        raise MalformedFileError(path, 0, "entries `item { name: … id: … }`", "none")
    return classes


def read_exclusions(path: Path, *, whole_seconds: bool) -> set[FrameKey]:
    """Frames to leave out: a CSV file of video and timestamp, without header."""
    table = read_table(path, columns=_BOX[:2])
    return set(_frames(table, whole_seconds=whole_seconds)[0])


def _frames(table: TextTable, *, whole_seconds: bool) -> tuple[list[FrameKey], NDArray[np.int64]]:
    """Keys of the frames in the order in which they come first, and each row's position."""
    table.names("video")
    pairs = zip(table.columns["video"], table.columns["timestamp"], strict=True)
    first: dict[FrameKey, int] = {}  # of each way to write a frame, its first row
    rows = np.fromiter(map(first.setdefault, pairs, count()), np.int64, len(table))
    keys: dict[FrameKey, int] = {}
    numbers = np.zeros(len(table), np.int64)
    for (video, stamp), row in first.items():
        try:
            key = f"{int(stamp):04d}" if whole_seconds else f"{_decimal(stamp):.6f}"
        except (ValueError, InvalidOperation):
            what = "a whole number of seconds" if whole_seconds else "a finite number of seconds"
            table.refuse(row, f"timestamp: {what}", shown(stamp))
        numbers[row] = keys.setdefault((video, key), len(keys))
    return list(keys), numbers[rows]


def _decimal(text: str) -> float:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError
    return float(number)


def _refuse_reversed(table: TextTable, boxes: NDArray[np.float64]) -> None:
    turned = (boxes[:, :2] > boxes[:, 2:]).any(1)
    if turned.any():
        row = int(turned.argmax())
        table.refuse(row, "a box with x1 ≤ x2 and y1 ≤ y2", f"{_listed(boxes[row])}")


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
