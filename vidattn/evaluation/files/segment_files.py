"""Reads truth and predictions of segments in time, in the JSON of ActivityNet and of MMAction2.

Source: http://activity-net.org/download.html; THUMOS-14 is published in the same form.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import ArgumentError, MalformedFileError
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.text_files import shown

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class SegmentPlaces:
    """Where each segment stands in its document, put together when asked for.

    Attributes:
        lists: of each video, the place of its list.
        video: (R,) position in `lists`.
        number: (R,) position in that list.
    """

    lists: list[Place]
    video: NDArray[np.int64]
    number: NDArray[np.int64]

    def __getitem__(self, row: int) -> Place:
        return (*self.lists[self.video[row]], int(self.number[row]))


@dataclass(frozen=True)
class SegmentTable:
    """Segments of one file, in its order.

    Attributes:
        videos: all videos that count, also those without segments.
        video: (R,) position in `videos`.
        labels: of each segment; empty text where none was asked for.
        times: (R, 2) start and end, seconds.
        scores: (R,); 1 in a truth.
        places: where each segment stands in the document.
        document: the file.
        subset: the one that was read; None in files without any.
    """

    videos: list[str]
    video: NDArray[np.int64]
    labels: list[str]
    times: NDArray[np.float64]
    scores: NDArray[np.float64]
    places: SegmentPlaces
    document: Document
    subset: str | None = None

    def keep(self, rows: NDArray[np.int64]) -> SegmentTable:
        """Some of the segments; all videos stay."""
        return SegmentTable(
            self.videos,
            self.video[rows],
            [self.labels[row] for row in rows],
            self.times[rows],
            self.scores[rows],
            SegmentPlaces(self.places.lists, self.places.video[rows], self.places.number[rows]),
            self.document,
            self.subset,
        )


def read_truth(path: Path, *, subset: str | None) -> SegmentTable:
    """`{"database": {video: {"subset": …, "annotations": [{"label": …, "segment": […]}]}}}`.

    Or, as MMAction2 has it, the videos at the top, their names with `v_` before them, which
    predictions do not have; then there are no subsets.

    Args:
        path: the file.
        subset: the one that counts; by default `validation` if there is one, else the only one.

    Raises:
        MalformedFileError: no such structure, reversed segments, numbers that are not finite.
        ArgumentError: no such subset, or several and none named.
    """
    document = Document(path)
    whole = document.mapping(document.value, (), "an object")
    top: Place = ("database",) if "database" in whole else ()
    entries = document.mapping(whole["database"] if top else whole, top, "an object of videos")
    if not entries:
        document.refuse(top, "at least one video", "none")
    if not top:
        for video, entry in entries.items():
            document.member(entry, "annotations", (video,))
        for video in entries:
            if video.startswith("v_") and video.removeprefix("v_") in entries:
                document.refuse((video,), "every video once", "it with and without `v_`")
        named = {video.removeprefix("v_"): (video, entry) for video, entry in entries.items()}
        return _segments(document, named, (), None)
    chosen = _subset(document, entries, subset)
    named = {video: (video, own) for video, own in entries.items() if own["subset"] == chosen}
    return _segments(document, named, top, chosen)


def read_predictions(path: Path, *, labelled: bool = True, segments: bool = True) -> SegmentTable:
    """`{"results": {video: [{"label": …, "score": …, "segment": [start, end]}]}}`.

    Args:
        path: the file.
        labelled: whether every prediction needs a label.
        segments: whether every prediction needs a segment; else all times are 0.

    Raises:
        MalformedFileError: as in `read_truth`; no predictions at all.
    """
    document = Document(path)
    if not segments:
        document.value = _without_times(document)
    results = document.member(document.value, "results", ())
    videos = document.mapping(results, ("results",), "an object of videos")
    rows: dict[str, tuple[Place, Any]] = {}
    for video, own in videos.items():
        rows[video] = (("results", video), own)
    found = _rows(document, rows, labelled=labelled, scored=True, subset=None)
    if not len(found.video):
        document.refuse(("results",), "at least one prediction", "none")
    return found


def _without_times(document: Document) -> dict[str, Any]:
    """The document with an empty segment in each prediction."""
    videos = document.member(document.value, "results", ())
    found: dict[str, Any] = {}
    for video, own in document.mapping(videos, ("results",), "an object of videos").items():
        place = ("results", video)
        rows = document.sequence(own, place, "a list of predictions")
        for row, one in enumerate(rows):
            document.mapping(one, (*place, row), "an object")
        found[video] = [{**one, "segment": [0, 0]} for one in rows]
    return {"results": found}


def _subset(document: Document, entries: dict[str, Any], wanted: str | None) -> str:
    subsets: dict[str, None] = {}
    for video, entry in entries.items():
        subset = document.member(entry, "subset", ("database", video))
        subsets[document.text(subset, ("database", video, "subset"))] = None
    if wanted is None and "validation" not in subsets and len(subsets) > 1:
        raise ArgumentError(f"subset: {document.path} has {', '.join(subsets)}; name one")
    chosen = wanted or ("validation" if "validation" in subsets else next(iter(subsets)))
    if chosen not in subsets:
        raise ArgumentError(f"subset: {document.path} has {', '.join(subsets)}, not {chosen!r}")
    return chosen


def _segments(
    document: Document,
    named: dict[str, tuple[str, dict[str, Any]]],
    top: Place,
    subset: str | None,
) -> SegmentTable:
    rows: dict[str, tuple[Place, Any]] = {}
    for name, (video, entry) in named.items():
        place = (*top, video)
        rows[name] = ((*place, "annotations"), document.member(entry, "annotations", place))
    found = _rows(document, rows, labelled=True, scored=False, subset=subset)
    if not len(found.video):
        what = f" of the subset {subset!r}" if subset else ""
        raise MalformedFileError(document.path, 0, f"at least one annotation{what}", "none")
    return found


def _rows(
    document: Document,
    lists: dict[str, tuple[Place, Any]],
    *,
    labelled: bool,
    scored: bool,
    subset: str | None,
) -> SegmentTable:
    entries: list[Any] = []
    for place, own in lists.values():
        entries.extend(document.sequence(own, place, "a list of segments"))
    counts = [len(own) for _, own in lists.values()]
    video = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(entries)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = SegmentPlaces([place for place, _ in lists.values()], video, number)
    try:
        labels = [entry["label"] for entry in entries] if labelled else [""] * len(entries)
        scores = [entry["score"] for entry in entries] if scored else [1.0] * len(entries)
        starts, ends = ([entry["segment"][side] for entry in entries] for side in (0, 1))
    except (KeyError, TypeError, IndexError):
        _refuse_first(document, entries, places, labelled=labelled, scored=scored)
        raise
    kinds = {type(value) for values in (scores, starts, ends) for value in values}
    named = not labelled or all(type(own) is str and own for own in labels)
    if not kinds <= {int, float} or not named:
        _refuse_first(document, entries, places, labelled=labelled, scored=scored)
    if not all(len(entry["segment"]) == 2 for entry in entries):
        _refuse_first(document, entries, places, labelled=labelled, scored=scored)
    try:
        times = np.array([starts, ends], np.float64).reshape(2, -1).T
        numbers = np.array(scores, np.float64)
    except OverflowError:
        _refuse_first(document, entries, places, labelled=labelled, scored=scored)
        raise
    wrong = ~np.isfinite(times).all(1) | ~np.isfinite(numbers) | (times[:, 0] > times[:, 1])
    if wrong.any():
        row = int(wrong.argmax())
        _refuse(document, entries[row], places[row], labelled=labelled, scored=scored)
    return SegmentTable(list(lists), video, labels, times, numbers, places, document, subset)


def _refuse_first(
    document: Document, entries: list[Any], places: SegmentPlaces, *, labelled: bool, scored: bool
) -> None:
    for row, entry in enumerate(entries):
        _refuse(document, entry, places[row], labelled=labelled, scored=scored)


def _refuse(document: Document, entry: Any, place: Place, *, labelled: bool, scored: bool) -> None:
    """Raise for what is wrong with one segment, if anything is."""
    if labelled:
        document.text(document.member(entry, "label", place), (*place, "label"))
    if scored:
        document.number(document.member(entry, "score", place), (*place, "score"))
    segment = document.member(entry, "segment", place)
    where = (*place, "segment")
    if not isinstance(segment, list) or len(segment) != 2:
        document.refuse(where, "[start, end]", shown(segment))
    start, end = (document.number(value, (*where, side)) for side, value in enumerate(segment))
    if start > end:
        document.refuse(where, "a segment with start ≤ end", shown(segment))
