"""Reads boxes of objects in frames: a folder of text files, or the JSON of COCO.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files import Document, read_table, shown

Place = tuple[str | int, ...]
_CORNERS = ("left", "top", "right", "bottom")
_SIZED = ("left", "top", "width", "height")


@dataclass(frozen=True)
class Boxes:
    """Boxes of one file or folder, in its order.

    Attributes:
        frames: names or numbers of all frames.
        frame: (R,) position in `frames`.
        labels: class names or numbers.
        boxes: (R, 4) left, top, width, height.
        scores: (R,); 1 in a truth.
        areas: (R,) as the file says, else width × height.
        crowd: (R,) boxes around many objects.
        where: (file, line or place) of each box, for messages.
        classes: label -> name, where the file lists its classes.
    """

    frames: list[Any]
    frame: NDArray[np.int64]
    labels: list[Any]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    where: list[tuple[Any, Any]]
    classes: dict[Any, str] | None = None

    def refuse(self, row: int, expected: str, got: str) -> None:
        """Raise for one box."""
        file, place = self.where[row]
        if isinstance(file, Document):
            file.refuse(place, expected, got)
        raise MalformedFileError(file, place, expected, got)


def read_truth(path: Path, *, corners: bool) -> Boxes:
    """A folder with `class left top width height` in one text file a frame, or COCO's JSON.

    Args:
        path: folder or `.json`.
        corners: in text files, `left top right bottom`.

    Raises:
        MalformedFileError: whatever is wrong with a file; no box at all.
    """
    if path.is_dir():
        return _folder(path, scored=False, corners=corners)
    return _coco_truth(path)


def read_predictions(path: Path, *, corners: bool) -> Boxes:
    """A folder with `class score left top width height`, or COCO's JSON list of results."""
    if path.is_dir():
        return _folder(path, scored=True, corners=corners)
    document = Document(path)
    entries = document.sequence(document.value, (), "a list of results")
    return _coco_boxes(document, entries, (), scored=True)


def _folder(folder: Path, *, scored: bool, corners: bool) -> Boxes:
    columns = ["class", *(["score"] if scored else []), *(_CORNERS if corners else _SIZED)]
    frames: list[str] = []
    labels: list[str] = []
    where: list[tuple[Any, Any]] = []
    counts: list[int] = []
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    for file in sorted(folder.glob("*.txt")):
        frames.append(file.stem)
        counts.append(0)
        if not file.stat().st_size:  # no boxes in this frame
            continue
        table = read_table(file, columns=columns, separator=None)
        counts[-1] = len(table)
        labels.extend(table.names("class"))
        where.extend((file, line) for line in table.lines)
        low = -np.inf if corners else 0.0
        own = [
            table.floats(name, low=low if place > 1 else -np.inf)
            for place, name in enumerate(columns[-4:])
        ]
        boxes.append(np.stack(own, axis=1))
        scores.append(table.floats("score") if scored else np.ones(len(table)))
        if corners:
            wrong = (boxes[-1][:, :2] > boxes[-1][:, 2:]).any(1)
            if wrong.any():
                row = int(wrong.argmax())
                expected = "a box with left ≤ right and top ≤ bottom"
                table.refuse(row, expected, ", ".join(f"{v:g}" for v in boxes[-1][row]))
            boxes[-1][:, 2:] -= boxes[-1][:, :2]
    if not where:
        raise MalformedFileError(folder, 0, "boxes in .txt files, one file a frame", "none")
    every = np.concatenate(boxes)
    return Boxes(
        frames,
        np.repeat(np.arange(len(frames)), counts),
        labels,
        every,
        np.concatenate(scores),
        every[:, 2] * every[:, 3],
        np.zeros(len(every), bool),
        where,
    )


def _coco_truth(path: Path) -> Boxes:
    document = Document(path)
    parts: dict[str, list[Any]] = {}
    for name in ("images", "annotations", "categories"):
        own = document.member(document.value, name, ())
        parts[name] = document.sequence(own, (name,), "a list")
        _unique(document, parts[name], name)
    classes = {}
    for row, entry in enumerate(parts["categories"]):
        place = ("categories", row)
        name = document.member(entry, "name", place)
        classes[entry["id"]] = document.text(name, (*place, "name"))
    found = _coco_boxes(
        document,
        parts["annotations"],
        ("annotations",),
        scored=False,
        frames=[entry["id"] for entry in parts["images"]],
    )
    for row, label in enumerate(found.labels):
        if label not in classes:
            found.refuse(row, f"a category_id of the {len(classes)} categories", shown(label))
    return Boxes(**{**vars(found), "classes": classes})


def _unique(document: Document, entries: list[Any], name: str) -> None:
    seen: set[Any] = set()
    for row, entry in enumerate(entries):
        number = document.member(entry, "id", (name, row))
        if not isinstance(number, int | str) or number in seen:
            document.refuse((name, row, "id"), "a number or name, once", shown(number))
        seen.add(number)


def _coco_boxes(
    document: Document,
    entries: Sequence[Any],
    top: Place,
    *,
    scored: bool,
    frames: list[Any] | None = None,
) -> Boxes:
    if not entries:
        document.refuse(top, "at least one box", "none")
    known: dict[Any, int] = {name: place for place, name in enumerate(frames or [])}
    labels, frame, boxes, scores, areas, crowd = [], [], [], [], [], []
    for row, entry in enumerate(entries):
        place = (*top, row)
        image = document.member(entry, "image_id", place)
        if frames is None:
            if not isinstance(image, int | str):
                document.refuse((*place, "image_id"), "a number or name", shown(image))
            known.setdefault(image, len(known))
        elif not isinstance(image, int | str) or image not in known:
            document.refuse((*place, "image_id"), "the id of a listed image", shown(image))
        frame.append(known[image])
        label = document.member(entry, "category_id", place)
        if not isinstance(label, int | str):
            document.refuse((*place, "category_id"), "a number or name", shown(label))
        labels.append(label)
        boxes.append(_box(document, document.member(entry, "bbox", place), (*place, "bbox")))
        score = document.member(entry, "score", place) if scored else 1
        scores.append(document.number(score, (*place, "score")))
        area = boxes[-1][2] * boxes[-1][3] if scored else entry.get("area")
        area = boxes[-1][2] * boxes[-1][3] if area is None else area
        areas.append(document.number(area, (*place, "area")))
        flag = 0 if scored else entry.get("iscrowd", 0)
        if flag not in (0, 1):
            document.refuse((*place, "iscrowd"), "0 or 1", shown(flag))
        crowd.append(bool(flag))
    return Boxes(
        list(known),
        np.array(frame, np.int64),
        labels,
        np.array(boxes, np.float64),
        np.array(scores, np.float64),
        np.array(areas, np.float64),
        np.array(crowd, bool),
        [(document, (*top, row)) for row in range(len(entries))],
    )


def _box(document: Document, value: Any, place: Place) -> list[float]:
    if not isinstance(value, list) or len(value) != 4:
        document.refuse(place, "[left, top, width, height]", shown(value))
    box = [document.number(side, (*place, row)) for row, side in enumerate(value)]
    if box[2] < 0 or box[3] < 0:
        document.refuse(place, "a width and a height ≥ 0", shown(value))
    return box
