"""Reads boxes of objects in frames: a folder of text files, or the JSON of COCO.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.tables import TextTable, read_rows
from vidattn.evaluation.files.text_files import shown

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
        source: the rows, or the document and the place of its list, for messages.
        classes: label -> name, where the file lists its classes.
    """

    frames: list[Any]
    frame: NDArray[np.int64]
    labels: list[Any]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    source: TextTable | tuple[Document, Place]
    classes: dict[Any, str] | None = None

    def refuse(self, row: int, expected: str, got: str) -> NoReturn:
        """Raise for one box."""
        if isinstance(self.source, TextTable):
            self.source.refuse(row, expected, got)
        document, top = self.source
        document.refuse((*top, row), expected, got)


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
    files = sorted(folder.glob("*.txt"))
    rows: list[list[str]] = []
    lines: list[int] = []
    counts: list[int] = []
    for file in files:
        own: list[list[str]] = []
        if file.stat().st_size:  # else there are no boxes in this frame
            own, places = read_rows(file, separator=None)
            for cells, line in zip(own, places, strict=True):
                if len(cells) != len(columns):
                    expected = f"{len(columns)} cells ({', '.join(columns)})"
                    raise MalformedFileError(file, line, expected, shown(" ".join(cells)))
            rows += own
            lines += places
        counts.append(len(own))
    if not rows:
        raise MalformedFileError(folder, 0, "boxes in .txt files, one file a frame", "none")
    frame = np.repeat(np.arange(len(files)), counts)
    cells_ = dict(zip(columns, (list(own) for own in zip(*rows, strict=True)), strict=True))
    table = TextTable(folder, cells_, lines, [files[place] for place in frame])
    low = -np.inf if corners else 0.0
    sides = [table.floats(name) for name in columns[-4:-2]]
    sides += [table.floats(name, low=low) for name in columns[-2:]]
    boxes = np.stack(sides, axis=1)
    if corners:
        wrong = (boxes[:, :2] > boxes[:, 2:]).any(1)
        if wrong.any():
            row = int(wrong.argmax())
            expected = "a box with left ≤ right and top ≤ bottom"
            table.refuse(row, expected, ", ".join(f"{side:g}" for side in boxes[row]))
        boxes[:, 2:] -= boxes[:, :2]
    return Boxes(
        [file.stem for file in files],
        frame,
        cells_["class"],
        boxes,
        table.floats("score") if scored else np.ones(len(boxes)),
        boxes[:, 2] * boxes[:, 3],
        np.zeros(len(boxes), bool),
        table,
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
    try:
        found = _columns(entries, scored=scored)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        found = None
    if found is None or (frames is not None and not known.keys() >= set(found[0])):
        for row, entry in enumerate(entries):
            _check(document, entry, (*top, row), known if frames is not None else None, scored)
        raise AssertionError(f"every box of {document.path} can be read")
    images, labels, boxes, scores, areas, crowd = found
    for image in dict.fromkeys(images):
        known.setdefault(image, len(known))
    frame = np.fromiter(map(known.__getitem__, images), np.int64, len(images))
    return Boxes(list(known), frame, labels, boxes, scores, areas, crowd, (document, top))


def _columns(entries: Sequence[Any], *, scored: bool) -> tuple[Any, ...]:
    """Everything at once.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, OverflowError: something is wrong.
    """
    images = [entry["image_id"] for entry in entries]
    labels = [entry["category_id"] for entry in entries]
    sides = [entry["bbox"] for entry in entries]
    scores = [entry["score"] for entry in entries] if scored else [1.0] * len(entries)
    given = [None if scored else entry.get("area") for entry in entries]
    flags = [0 if scored else entry.get("iscrowd", 0) for entry in entries]
    kinds = {type(value) for values in (*sides, scores) for value in values}
    kinds |= {type(area) for area in given} - {type(None)}
    names = {type(value) for values in (images, labels) for value in values}
    if not (
        kinds <= {int, float} and names <= {int, str} and {type(own) for own in sides} == {list}
    ):
        raise TypeError
    if any(len(own) != 4 for own in sides) or not set(flags) <= {0, 1}:
        raise ValueError
    boxes = np.array(sides, np.float64)
    own = boxes[:, 2] * boxes[:, 3]
    areas = own if scored else np.array([np.nan if a is None else a for a in given], np.float64)
    missing = np.array([area is None for area in given], bool)
    areas = np.where(missing, own, areas)
    numbers = np.array(scores, np.float64)
    finite = all(np.isfinite(values).all() for values in (boxes, numbers, areas))
    if not finite or (boxes[:, 2:] < 0).any():
        raise ValueError
    return images, labels, boxes, numbers, areas, np.array(flags, bool)


def _check(
    document: Document, entry: Any, place: Place, known: dict[Any, int] | None, scored: bool
) -> None:
    """Raise for what is wrong with one box, if anything is."""
    image = document.member(entry, "image_id", place)
    if type(image) not in (int, str):
        document.refuse((*place, "image_id"), "a number or name", shown(image))
    if known is not None and image not in known:
        document.refuse((*place, "image_id"), "the id of a listed image", shown(image))
    label = document.member(entry, "category_id", place)
    if type(label) not in (int, str):
        document.refuse((*place, "category_id"), "a number or name", shown(label))
    _box(document, document.member(entry, "bbox", place), (*place, "bbox"))
    if scored:
        document.number(document.member(entry, "score", place), (*place, "score"))
        return
    if entry.get("area") is not None:
        document.number(entry["area"], (*place, "area"))
    flag = entry.get("iscrowd", 0)
    if not isinstance(flag, int) or flag not in (0, 1):
        document.refuse((*place, "iscrowd"), "0 or 1", shown(flag))


def _box(document: Document, value: Any, place: Place) -> None:
    if not isinstance(value, list) or len(value) != 4:
        document.refuse(place, "[left, top, width, height]", shown(value))
    box = [document.number(side, (*place, row)) for row, side in enumerate(value)]
    if box[2] < 0 or box[3] < 0:
        document.refuse(place, "a width and a height ≥ 0", shown(value))
