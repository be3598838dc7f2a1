"""Reads spans of action, selected frames, and boxes and maps of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vidattn.arrays import FloatArray
from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.array_files import numbers, read_archive
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.tables import read_table
from vidattn.evaluation.files.text_files import shown

_Place = tuple[str | int, ...]


class VideoSpans(NamedTuple):
    """Where the action is: half-open spans of frames, and the video's frame count if known."""

    spans: list[tuple[int, int]]
    frame_count: int | None


class FrameAnswer(NamedTuple):
    """What was said about one frame: a point (x, y), or a map over the frame."""

    point: tuple[float, float] | None
    weights: FloatArray | None


class VideoBoxes(NamedTuple):
    """True boxes [x1, y1, x2, y2] of every frame that has some; size in pixels if known."""

    boxes: dict[int, list[list[float]]]
    size: tuple[int, int] | None


def read_spans(path: Path) -> dict[str, VideoSpans]:
    """Spans of action.

    Args:
        path: CSV with `video,start,end` and perhaps `frames`; JSON: video -> object with
            `spans` and perhaps `frames`; or JSON with a list of `videos`, each with `file`,
            `frames` and `tubes` of `start_frame` and `end_frame`. Ends are exclusive.

    Raises:
        MalformedFileError: anything else, a span that ends before it starts or after the video.
    """
    if Path(path).suffix == ".json":
        return _json_spans(Document(path))
    table = read_table(path, columns=("video", "start", "end"), optional=("frames",), header=True)
    videos, starts = table.names("video"), table.integers("start", low=0)
    ends = table.integers("end", low=1)
    counts = table.integers("frames", low=1).tolist() if "frames" in table.columns else None
    found: dict[str, VideoSpans] = {}
    for row, name in enumerate(videos):
        count = counts[row] if counts else None
        start, end = int(starts[row]), int(ends[row])
        if start >= end or (count is not None and end > count):
            table.refuse(row, "start < end ≤ frames", f"{start}, {end}, {count}")
        mine = found.setdefault(name, VideoSpans([], count))
        if mine.frame_count != count:
            table.refuse(row, f"{mine.frame_count} frames, as above", str(count))
        mine.spans.append((start, end))
    return found


def read_selected(path: Path) -> dict[str, list[int]]:
    """Selected frames.

    Args:
        path: CSV with `video,frame`; JSON: video -> list of frames; or the `keyframes.json`
            that `vidattn keyframes` writes, whose videos go by their file names.

    Raises:
        MalformedFileError: anything else, a frame twice, none.
    """
    if Path(path).suffix != ".json":
        table = read_table(path, columns=("video", "frame"), header=True)
        videos, frames = table.names("video"), table.integers("frame", low=0).tolist()
        table.unique("video and frame", videos, frames)
        found: dict[str, list[int]] = {}
        for name, frame in zip(videos, frames, strict=True):
            found.setdefault(name, []).append(frame)
        return found
    document = Document(path)
    value = document.mapping(document.value, (), "video -> frames")
    if isinstance(value.get("videos"), list):
        return _extracted(document, value["videos"])
    return {name: _frames(document, entry, (name,)) for name, entry in value.items()}


def read_boxes(path: Path) -> dict[str, VideoBoxes]:
    """True boxes of frames.

    Args:
        path: JSON: video -> object with `boxes` (frame -> list of boxes) and perhaps `width`
            and `height`; or with a list of `videos`, each with `file`, `width`, `height` and
            `tubes` of `start_frame` and `boxes`, one a frame.

    Raises:
        MalformedFileError: anything else, a box without area.
    """
    document = Document(path)
    found = {}
    for name, entry, place in _entries(document):
        boxes: dict[int, list[list[float]]] = {}
        if "tubes" in entry:
            for frame, box, here in _tube_boxes(document, entry, place):
                boxes.setdefault(frame, []).append(_box(document, box, here))
        else:
            listed = document.mapping(
                document.member(entry, "boxes", place), (*place, "boxes"), "frame -> boxes"
            )
            for key, several in listed.items():
                here = (*place, "boxes", key)
                if not key.isdigit():
                    document.refuse(here, "a frame number", shown(key))
                for row, box in enumerate(document.sequence(several, here, "a list of boxes")):
                    boxes.setdefault(int(key), []).append(_box(document, box, (*here, row)))
        size = None
        if "width" in entry and "height" in entry:
            width, height = (_whole(document, entry[key], place) for key in ("width", "height"))
            size = (width, height)
        found[name] = VideoBoxes(boxes, size)
    return found


def read_frame_answers(path: Path) -> dict[str, dict[int, FrameAnswer]]:
    """Points or maps of frames.

    Args:
        path: .npz of maps (H', W') with keys `video/frame`; or JSON: video -> frame -> object
            with `point` [x, y] in pixels, or `map`, rows of weights over the frame.

    Raises:
        MalformedFileError: anything else, negative or empty maps.
    """
    path = Path(path)
    found: dict[str, dict[int, FrameAnswer]] = {}
    if path.suffix == ".npz":
        for key, array in read_archive(path).items():
            video, _, frame = key.rpartition("/")
            weights = numbers(path, key, array)
            if not video or not frame.isdigit() or not _is_map(weights):
                expected = "a map of non-negative weights, some positive, under video/frame"
                raise MalformedFileError(path, 0, expected, f"{weights.shape} under {shown(key)}")
            found.setdefault(video, {})[int(frame)] = FrameAnswer(None, weights)
        return found
    document = Document(path)
    for name, frames in document.mapping(document.value, (), "video -> frames").items():
        for frame, entry in document.mapping(frames, (name,), "frame -> answer").items():
            if not frame.isdigit():
                document.refuse((name, frame), "a frame number", shown(frame))
            found.setdefault(name, {})[int(frame)] = _answer(document, entry, (name, frame))
    return found


def _extracted(document: Document, videos: list[Any]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, record in enumerate(videos):
        place: _Place = ("videos", number)
        path = document.text(document.member(record, "video", place), (*place, "video"))
        name = path.replace("\\", "/").split("/")[-1]
        if name in found:
            document.refuse(place, "every video once", shown(name))
        here = (*place, "frames")
        listed = document.sequence(document.member(record, "frames", place), here, "a list")
        indices = [
            document.member(frame, "frame_index", (*here, row)) for row, frame in enumerate(listed)
        ]
        found[name] = _frames(document, indices, here)
    return found


def _frames(document: Document, value: Any, place: _Place) -> list[int]:
    listed = document.sequence(value, place, "a list of frames")
    frames = [_whole(document, item, (*place, row)) for row, item in enumerate(listed)]
    if not frames or len(set(frames)) < len(frames):
        document.refuse(place, "different frames, at least one", shown(frames))
    return frames


def _answer(document: Document, entry: Any, place: _Place) -> FrameAnswer:
    if isinstance(entry, dict) and "point" in entry:
        listed = document.sequence(entry["point"], (*place, "point"), "[x, y]")
        if len(listed) != 2:
            document.refuse((*place, "point"), "[x, y]", shown(listed))
        x, y = (document.number(item, (*place, "point")) for item in listed)
        return FrameAnswer((x, y), None)
    rows = document.sequence(document.member(entry, "map", place), (*place, "map"), "rows")
    try:
        weights = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        document.refuse((*place, "map"), "rows of numbers, of one length", str(error))
    if not _is_map(weights):
        document.refuse((*place, "map"), "non-negative weights, some positive", shown(rows))
    return FrameAnswer(None, weights)


def _is_map(weights: FloatArray) -> bool:
    return bool(
        weights.ndim == 2
        and weights.size
        and np.isfinite(weights).all()
        and weights.min() >= 0
        and weights.max() > 0
    )


def _json_spans(document: Document) -> dict[str, VideoSpans]:
    found = {}
    for name, entry, place in _entries(document):
        count = _whole(document, entry["frames"], (*place, "frames")) if "frames" in entry else None
        key = "tubes" if "tubes" in entry else "spans"
        listed = document.sequence(document.member(entry, key, place), (*place, key), "a list")
        spans = []
        for row, item in enumerate(listed):
            here = (*place, key, row)
            if key == "tubes":
                item = [document.member(item, side, here) for side in ("start_frame", "end_frame")]
            span = [_whole(document, v, here) for v in document.sequence(item, here, "a span")]
            if len(span) != 2 or span[0] >= span[1] or (count is not None and span[1] > count):
                document.refuse(here, "[start, end) within the video, start < end", shown(item))
            spans.append((span[0], span[1]))
        if not spans:
            document.refuse(place, "at least one span", "none")
        found[name] = VideoSpans(spans, count)
    return found


def _entries(document: Document) -> list[tuple[str, dict[str, Any], _Place]]:
    value = document.mapping(document.value, (), "an object of videos")
    found: list[tuple[str, dict[str, Any], _Place]] = []
    if isinstance(value.get("videos"), list):
        for row, entry in enumerate(value["videos"]):
            name = document.text(document.member(entry, "file", ("videos", row)), ("videos", row))
            found.append((name, entry, ("videos", row)))
    else:
        for name, entry in value.items():
            found.append((name, document.mapping(entry, (name,), "an object"), (name,)))
    names = [name for name, _, _ in found]
    for number, (name, _, place) in enumerate(found):
        if name in names[:number]:
            document.refuse(place, "every video once", shown(name))
    if not found:
        document.refuse((), "at least one video", "none")
    return found


def _tube_boxes(
    document: Document, entry: dict[str, Any], place: _Place
) -> list[tuple[int, Any, _Place]]:
    found = []
    for row, tube in enumerate(document.sequence(entry["tubes"], (*place, "tubes"), "a list")):
        here = (*place, "tubes", row)
        start = _whole(document, document.member(tube, "start_frame", here), here)
        boxes = document.sequence(document.member(tube, "boxes", here), here, "a list of boxes")
        found += [(start + k, box, (*here, "boxes", k)) for k, box in enumerate(boxes)]
    return found


def _box(document: Document, value: Any, place: _Place) -> list[float]:
    corners = [document.number(v, place) for v in document.sequence(value, place, "a box")]
    if len(corners) != 4 or corners[0] >= corners[2] or corners[1] >= corners[3]:
        document.refuse(place, "[x1, y1, x2, y2], x1 < x2 and y1 < y2", shown(value))
    return corners


def _whole(document: Document, value: Any, place: _Place) -> int:
    number = document.number(value, place)
    if number != int(number) or number < 0:
        document.refuse(place, "a whole number of at least 0", shown(value))
    return int(number)
