"""Objects in boxes in frames, as Pascal VOC and COCO score them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import ArgumentError
from vidattn.evaluation.files.box_files import Boxes, read_predictions, read_truth
from vidattn.evaluation.files.text_files import shown
from vidattn.evaluation.metrics.matching import (
    best_truth,
    first_hits,
    greedy_hits,
    members,
    pairs,
    pixel_overlap,
)
from vidattn.evaluation.metrics.precision import average_precision, sampled_precision
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask

_ELEVEN = np.linspace(0.0, 1.0, 11)
_COCO_RECALL = np.linspace(0.0, 1.0, 101)
_COCO_OVERLAPS = np.linspace(0.5, 0.95, 10)
_COCO_AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
_COCO_MOST = 100


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Average precision of every class, and the mean over classes with truth."""
    if not 0 < settings["overlap"] <= 1:
        raise ArgumentError(f"overlap: expected a number in (0, 1], got {settings['overlap']}")
    corners = settings["sides"] == "corners"
    given = read_truth(truth, corners=corners)
    found = read_predictions(predictions, corners=corners)
    counts: dict[str, int] = {}
    notes: list[str] = []
    names = given.classes or {label: str(label) for label in dict.fromkeys(given.labels)}
    rows = _known(found, given, names, settings, counts, notes)
    classes = {label: place for place, label in enumerate(sorted(names, key=str))}
    frames = {frame: place for place, frame in enumerate(given.frames)}
    for frame in found.frames:
        frames.setdefault(frame, len(frames))
    size = len(classes)
    own = np.array([classes[found.labels[row]] for row in rows], np.int64)
    truths = np.array([classes[label] for label in given.labels], np.int64)
    places = np.array([frames[frame] for frame in found.frames], np.int64)[found.frame[rows]]
    groups = (places * size + own, given.frame * size + truths)
    titles = list(names.values())
    labels = {
        place: names[label] if titles.count(names[label]) == 1 else f"{names[label]} ({label})"
        for label, place in classes.items()
    }
    if protocol == "coco":
        figures, table = _coco(found, rows, given, groups, labels)
    else:
        eleven = protocol == "voc-11-point"
        figures, table = _voc(found, rows, given, groups, labels, settings["overlap"], eleven)
    expected = set(given.frames)
    predicted = {found.frames[place] for place in np.unique(found.frame)}
    counts = {
        "frames": len(expected),
        "frames_without_predictions": len(expected - predicted),
        "predicted_frames_not_in_truth": len(predicted - expected),
        "truth_boxes": len(given.frame),
        "predictions": len(rows),
        "classes_with_truth": len(np.unique(truths)),
        **counts,
    }
    return Score("boxes", protocol, figures, table, counts, notes, settings)


def _known(
    found: Boxes,
    given: Boxes,
    names: dict[Any, str],
    settings: dict[str, Any],
    counts: dict[str, int],
    notes: list[str],
) -> NDArray[np.int64]:
    """Rows of predictions whose class is known and, where images are listed, whose image is."""
    if given.classes is not None:
        listed = set(given.frames)
        known = np.array([frame in listed for frame in found.frames], bool)[found.frame]
        if not known.all():
            row = int((~known).argmax())
            got = shown(found.frames[found.frame[row]])
            found.refuse(row, "the id of an image of the truth", got)
    known = np.array([label in names for label in found.labels], bool)
    if not known.all():
        row = int((~known).argmax())
        if settings["unlisted"] == "error":
            expected = "a class of the truth (see --unlisted)"
            found.refuse(row, expected, shown(found.labels[row]))
        counts["unlisted_predictions"] = int((~known).sum())
        notes.append(f"{(~known).sum()} predictions of classes that the truth does not have")
    return np.flatnonzero(known)


def _voc(
    found: Boxes,
    rows: NDArray[np.int64],
    given: Boxes,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    labels: dict[int, str],
    overlap: float,
    eleven: bool,
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    if given.crowd.any():
        expected = "no crowds, which this protocol does not know"
        given.refuse(int(given.crowd.argmax()), expected, "iscrowd 1")
    order = np.argsort(-found.scores[rows], kind="stable")
    predicted = groups[0][order]
    corners = [_corners(found.boxes[rows][order]), _corners(given.boxes)]
    best, overlaps = best_truth(predicted, corners[0], groups[1], corners[1], overlap=pixel_overlap)
    hits = first_hits(best, overlaps, overlap)
    table: dict[str, dict[str, float]] = {}
    of_class = members(predicted % len(labels), len(labels))
    positives_of = np.bincount(groups[1] % len(labels), minlength=len(labels))
    for number, label in labels.items():
        mine, positives = hits[of_class[number]], int(positives_of[number])
        value = (
            sampled_precision(mine, positives, _ELEVEN)
            if eleven
            else average_precision(mine, positives)
        )
        table[label] = {
            "average_precision": value,
            "truth": positives,
            "predictions": len(mine),
            "hits": int(mine.sum()),
        }
    return {f"mAP@{overlap:g}": _mean(table, "average_precision")}, table


def _coco(
    found: Boxes,
    rows: NDArray[np.int64],
    given: Boxes,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    labels: dict[int, str],
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    # Frame by frame in the order of their ids, each class's boxes by falling score.
    frames = [found.frames[place] for place in found.frame[rows]]
    rank = {frame: place for place, frame in enumerate(sorted(set(frames), key=_id_order))}
    by_frame = np.array([rank[frame] for frame in frames], np.int64)
    number = groups[0] % len(labels)
    order = np.lexsort((-found.scores[rows], by_frame, number))
    predicted = groups[0][order]
    place = _places(predicted)
    order, predicted, place = (own[place < _COCO_MOST] for own in (order, predicted, place))
    rows = rows[order]
    left, right = pairs(predicted, groups[1])
    overlaps = _sized_overlap(found.boxes[rows][left], given.boxes[right], given.crowd[right])
    near = overlaps >= _COCO_OVERLAPS[0]
    candidates = (left[near], right[near], overlaps[near])
    areas = found.boxes[rows][:, 2] * found.boxes[rows][:, 3]
    table: dict[str, dict[str, float]] = {label: {} for label in labels.values()}
    scores = found.scores[rows]
    # A class's boxes frame by frame become one list by falling score.
    of_class = [
        mine[np.argsort(-scores[mine], kind="stable")]
        for mine in members(predicted % len(labels), len(labels))
    ]
    for name, (low, high) in _COCO_AREAS.items():
        ignored = given.crowd | (given.areas < low) | (given.areas > high)
        taken = greedy_hits(
            predicted,
            *candidates,
            _COCO_OVERLAPS,
            second_choice=ignored,
            reusable=given.crowd,
        )
        hits = (taken >= 0) & ~ignored[taken]
        left_out = ((taken >= 0) & ignored[taken]) | (
            (taken < 0) & ((areas < low) | (areas > high))
        )
        positives = np.bincount(groups[1][~ignored] % len(labels), minlength=len(labels))
        for own, label in labels.items():
            by_score = of_class[own]
            table[label] |= _coco_class(
                name, hits[:, by_score], left_out[:, by_score], place[by_score], int(positives[own])
            )
    figures = {name: _mean(table, name) for name in next(iter(table.values()))}
    truths = np.bincount(groups[1] % len(labels), minlength=len(labels))
    for own, label in labels.items():
        table[label] |= {"truth": int(truths[own]), "predictions": len(of_class[own])}
    return {name: figures[name] for name in sorted(figures, key=_figure_order)}, table


def _coco_class(
    area: str,
    hits: NDArray[np.bool_],
    left_out: NDArray[np.bool_],
    place: NDArray[np.int64],
    positives: int,
) -> dict[str, float]:
    """Figures of one class and range of areas; NaN without truth."""
    suffix = "" if area == "all" else f"_{area}"
    values = [
        sampled_precision(own[~out], positives, _COCO_RECALL)
        for own, out in zip(hits, left_out, strict=True)
    ]
    found = {f"AP{suffix}": float(np.mean(values))}
    most = (1, 10, 100) if area == "all" else (100,)
    for count in most:
        recall = hits[:, place < count].sum(axis=1) / positives if positives else np.array([np.nan])
        found[f"AR{suffix}" if suffix else f"AR@{count}"] = float(recall.mean())
    if area == "all":
        found |= {"AP50": values[0], "AP75": values[5]}
    return found


def _figure_order(name: str) -> tuple[bool, bool, str]:
    return name.startswith("AR"), "_" in name, name if "@" not in name else name.zfill(8)


def _id_order(frame: Any) -> tuple[bool, Any]:
    return isinstance(frame, str), frame


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each item in its run of equal groups."""
    begins = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    counts = np.diff(np.r_[begins, len(groups)])
    return np.arange(len(groups)) - np.repeat(begins, counts)


def _corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _sized_overlap(
    first: NDArray[np.float64], second: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Intersection over union of left, top, width, height; over the first's area in a crowd."""
    ends = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    sides = np.maximum(ends - np.maximum(first[:, :2], second[:, :2]), 0.0)
    shared = sides[:, 0] * sides[:, 1]
    areas = [own[:, 2] * own[:, 3] for own in (first, second)]
    whole = np.where(crowd, areas[0], areas[0] + areas[1] - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def _mean(table: dict[str, dict[str, float]], name: str) -> float:
    values = np.array([own[name] for own in table.values()])
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


TASK = ScoreTask(
    name="boxes",
    summary="objects in boxes: mAP of Pascal VOC and of COCO",
    predictions="folder of text files, one a frame: class score left top width height; or "
    "COCO's JSON list of results",
    truth="folder of text files, one a frame: class left top width height; or COCO's JSON",
    protocols={
        "voc": "Pascal VOC 2010 and later: area under precision and recall at every point; the "
        "last pixel belongs to a box",
        "voc-11-point": "Pascal VOC 2007: precision at 11 recalls",
        "coco": "COCO: mean over overlaps 0.50 to 0.95, precision at 101 recalls, the 100 surest "
        "of a frame and class, crowds and ranges of area",
    },
    example="boxes detections/ groundtruths/ --protocol voc --overlap 0.3",
    run=run,
    options=(
        Option("overlap", float, "minimum intersection over union of a match, for voc", 0.5),
        Option(
            "sides",
            str,
            "what follows left and top in text files: size, or corners for right and bottom",
            "size",
            ("size", "corners"),
        ),
        Option(
            "unlisted",
            str,
            "what to do with predicted classes that the truth does not have",
            "error",
            ("error", "skip"),
        ),
    ),
)
