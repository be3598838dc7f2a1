"""Reads the files of AVA: boxes with actions, lists of classes, timestamps to leave out.

Source: https://research.google.com/ava/download.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files import Table, read_rows, read_table, read_text, shown

FrameKey = tuple[str, str]

_BOX = ("video", "timestamp", "x1", "y1", "x2", "y2", "action")
_ENTRY = re.compile(r"(?:item|label)\s*\{([^{}]*)\}")
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
    lengths = {2, 7, 8} if empty_frames else {7, 8}
    wrong = [place for place, row in enumerate(rows) if len(row) not in lengths]
    if wrong:
        expected = f"{', '.join(map(str, sorted(lengths)))} cells ({', '.join(_BOX)}, score)"
        got = f"{len(rows[wrong[0]])}: {shown(','.join(rows[wrong[0]]))}"
        raise MalformedFileError(path, lines[wrong[0]], expected, got)
    listed = {name: [row[place].strip() for row in rows] for place, name in enumerate(_BOX[:2])}
    stamps = Table(path, listed, lines)
    frames, frame = _frames(stamps, whole_seconds=whole_seconds)
    full = [place for place, row in enumerate(rows) if len(row) > 2]
    if not full:
        nothing = np.zeros(0)
        whole = nothing.astype(np.int64)
        return BoxRows(path, whole, frames, whole, whole, np.zeros((0, 4)), nothing)
    columns = zip(*(rows[place][2:7] for place in full), strict=True)
    own = [lines[place] for place in full]
    cells = {name: list(column) for name, column in zip(_BOX[2:], columns, strict=True)}
    cells["score"] = [rows[place][7] if len(rows[place]) > 7 else "1" for place in full]
    table = Table(path, cells, own)
    boxes = np.stack([table.floats(name) for name in _BOX[2:6]], axis=1)
    _refuse_reversed(table, boxes)
    classes, scores = table.integers("action", low=1), table.floats("score")
    return BoxRows(path, np.array(own), frames, frame[full], classes, boxes, scores)


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
        if name is None or number is None or not number.isdecimal() or int(number) < 1:
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


def _frames(table: Table, *, whole_seconds: bool) -> tuple[list[FrameKey], NDArray[np.int64]]:
    """Keys of the frames in the order in which they come first, and each row's position."""
    table.names("video")
    written: dict[FrameKey, int] = {}
    pairs = zip(table.columns["video"], table.columns["timestamp"], strict=True)
    places = np.array([written.setdefault(pair, len(written)) for pair in pairs])
    keys: dict[FrameKey, int] = {}
    numbers = []
    for place, (video, stamp) in enumerate(written):
        try:
            key = f"{int(stamp):04d}" if whole_seconds else f"{_decimal(stamp):.6f}"
        except (ValueError, InvalidOperation):
            what = "a whole number of seconds" if whole_seconds else "a finite number of seconds"
            table.refuse(int((places == place).argmax()), f"timestamp: {what}", shown(stamp))
        numbers.append(keys.setdefault((video, key), len(keys)))
    return list(keys), np.array(numbers)[places]


def _decimal(text: str) -> float:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError
    return float(number)


def _refuse_reversed(table: Table, boxes: NDArray[np.float64]) -> None:
    turned = (boxes[:, :2] > boxes[:, 2:]).any(1)
    if turned.any():
        row = int(turned.argmax())
        table.refuse(row, "a box with x1 ≤ x2 and y1 ≤ y2", f"{_listed(boxes[row])}")


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
