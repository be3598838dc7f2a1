"""Actions in boxes in frames, as AVA scores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import ArgumentError, MalformedFileError
from vidattn.evaluation.files.ava_files import BoxRows, FrameKey, read_boxes, read_classes
from vidattn.evaluation.files.ava_files import read_exclusions as read_excluded
from vidattn.evaluation.files.ava_order import ranked
from vidattn.evaluation.metrics.matching import best_truth, first_hits, members
from vidattn.evaluation.metrics.precision import average_precision, by_score
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask

# Of AVA's 80 labels, those that its list of 60 leaves out: models predict them, nobody counts them.
_LEFT_OUT = frozenset(
    {2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75}
)
_GROUPS = {
    "person_movement": range(1, 15),
    "object_manipulation": range(15, 64),
    "person_interaction": range(64, 81),
}


@dataclass(frozen=True)
class _Protocol:
    """What the three scorers do differently.

    Attributes:
        cap: predictions kept of a frame; 0: all.
        frames: which frames count: those `listed` in the truth (or in rows of two cells),
            `all`, or those with truth `boxes`.
        whole_seconds: timestamps are whole numbers, and rows of two cells are unknown.
        order: of rows in a frame: of a `heap`, by `score`, or as in the `file`.
        single: float32 instead of float64.
        drops_points: predictions without area are left out.
        only_predicted: classes without any prediction are left out of the mean.
        excluded_truth: truth in excluded frames still counts as missed.
    """

    cap: int
    frames: str
    whole_seconds: bool
    order: str
    single: bool
    drops_points: bool
    only_predicted: bool
    excluded_truth: bool


_PROTOCOLS = {
    "official": _Protocol(50, "listed", False, "heap", False, True, False, False),
    "pyslowfast": _Protocol(0, "all", True, "file", False, True, False, False),
    "mmaction2": _Protocol(0, "boxes", True, "score", True, False, True, True),
}


def run(predictions: Path, truth: Path, name: str, settings: dict[str, Any]) -> Score:
    """Average precision of every class at one overlap, and their mean."""
    protocol = _PROTOCOLS[name]
    used = {**settings, "cap": protocol.cap if settings["cap"] is None else settings["cap"]}
    used["frames"] = settings["frames"] or protocol.frames
    _check(used)
    seconds = protocol.whole_seconds
    given = read_boxes(truth, whole_seconds=seconds, empty_frames=not seconds)
    found = read_boxes(predictions, whole_seconds=seconds, empty_frames=not seconds)
    classes = read_classes(settings["labels"]) if settings["labels"] else _own_classes(given)
    excluded = set[FrameKey]()
    if settings["excluded"]:
        excluded = read_excluded(settings["excluded"], whole_seconds=seconds)
    counts: dict[str, int] = {}
    notes: list[str] = []
    given = _listed(given, classes, used, "truth", counts, notes)
    found = _listed(found, classes, used, "predictions", counts, notes)
    found = _above(found, used["minimum_score"], counts)
    rows = _evaluated(found, given, protocol, used, excluded, counts)
    return _score(name, protocol, used, classes, given, found, rows, excluded, counts, notes)


def _check(settings: dict[str, Any]) -> None:
    if not 0 < settings["overlap"] <= 1:
        raise ArgumentError(f"overlap: expected a number in (0, 1], got {settings['overlap']}")
    if settings["cap"] < 0:
        raise ArgumentError(f"cap: expected a count, or 0 for all, got {settings['cap']}")


def _own_classes(rows: BoxRows) -> dict[int, str]:
    return {int(number): str(number) for number in np.unique(rows.classes)}


def _listed(
    rows: BoxRows,
    classes: dict[int, str],
    settings: dict[str, Any],
    what: str,
    counts: dict[str, int],
    notes: list[str],
) -> BoxRows:
    """The rows whose action is on the list."""
    known = np.isin(rows.classes, list(classes))
    allowed = known.copy()
    if settings["unlisted"] == "skip":
        allowed[:] = True
    elif set(classes) == set(range(1, 81)) - _LEFT_OUT:
        allowed |= np.isin(rows.classes, list(_LEFT_OUT))
    if not allowed.all():
        row = int((~allowed).argmax())
        expected = f"an action of the {len(classes)} listed ones (see --labels, --unlisted)"
        got = str(rows.classes[row])
        raise MalformedFileError(rows.path, int(rows.lines[row]), expected, got)
    if not known.all():
        counts[f"unlisted_{what}"] = int((~known).sum())
        notes.append(f"{what}: {(~known).sum()} rows of actions that are not on the list")
    return rows.keep(known)


def _above(rows: BoxRows, minimum: float | None, counts: dict[str, int]) -> BoxRows:
    if minimum is None:
        return rows
    kept = rows.scores > minimum
    counts["predictions_below_minimum_score"] = int((~kept).sum())
    return rows.keep(kept)


def _evaluated(
    found: BoxRows,
    given: BoxRows,
    protocol: _Protocol,
    settings: dict[str, Any],
    excluded: set[FrameKey],
    counts: dict[str, int],
) -> BoxRows:
    """The predictions that count, with `frame` pointing into the frames of the truth.

    They are in the order in which they are taken: frame by frame, then by the protocol. Frames
    that are not in the truth get numbers behind those that are.
    """
    rows = found.keep(ranked(found, protocol.order, settings["cap"]))
    counts["predictions_beyond_cap"] = len(found.frame) - len(rows.frame)
    places = {key: place for place, key in enumerate(given.frames)}
    for key in found.frames:
        places.setdefault(key, len(places))
    in_truth = np.array([places[key] for key in found.frames], np.int64)[rows.frame]
    counts["predictions_in_unlisted_frames"] = int((in_truth >= len(given.frames)).sum())
    counted = np.ones(len(places), bool)
    if settings["frames"] == "listed":
        counted[len(given.frames) :] = False
    elif settings["frames"] == "boxes":
        counted[:] = False
        counted[given.frame] = True
    counted[[places[key] for key in excluded if key in places]] = False
    kept = counted[in_truth]
    counts["predictions_in_frames_left_out"] = int((~kept).sum())
    if protocol.drops_points:
        flat = (rows.boxes[:, :2] == rows.boxes[:, 2:]).any(1)
        counts["predictions_without_area"] = int((kept & flat).sum())
        kept &= ~flat
    arrays = (rows.path, rows.lines[kept], rows.frames, in_truth[kept])
    rows = BoxRows(*arrays, rows.classes[kept], rows.boxes[kept], rows.scores[kept])
    if protocol.frames == "boxes":  # frames are taken in the order of the truth
        order = np.argsort(_first_place(given)[rows.frame], kind="stable")
        rows = rows.keep(order)
    return rows


def _first_place(given: BoxRows) -> NDArray[np.int64]:
    """Rank of each frame of the truth by its first row with a listed action."""
    places = np.full(len(given.frames) + 1, len(given.frame), np.int64)
    frames, first = np.unique(given.frame, return_index=True)
    places[frames] = first
    return places


def _score(
    name: str,
    protocol: _Protocol,
    settings: dict[str, Any],
    classes: dict[int, str],
    given: BoxRows,
    found: BoxRows,
    rows: BoxRows,
    excluded: set[FrameKey],
    counts: dict[str, int],
    notes: list[str],
) -> Score:
    left = np.array([key not in excluded for key in given.frames], bool)[given.frame]
    truth = given.keep(ranked(given, protocol.order, 0)) if protocol.order != "file" else given
    truth = truth.keep(np.array([key not in excluded for key in given.frames], bool)[truth.frame])
    hits = _hits(rows, truth, settings["overlap"], kind=_kind(protocol))
    counted = given if protocol.excluded_truth else given.keep(left)
    table: dict[str, dict[str, float]] = {}
    values = {}
    listed = np.array(sorted(classes))
    of_class = members(np.searchsorted(listed, rows.classes), len(listed))
    truths = np.bincount(np.searchsorted(listed, counted.classes), minlength=len(listed))
    for own, number, positives in zip(of_class, sorted(classes), truths.tolist(), strict=True):
        scores: NDArray[Any] = rows.scores[own].astype(_kind(protocol))
        value = average_precision(hits[own][by_score(scores)], positives)
        table[_label(classes, number)] = {
            "average_precision": value,
            "truth": positives,
            "predictions": len(own),
            "hits": int(hits[own].sum()),
        }
        if len(own) or not protocol.only_predicted:
            values[number] = value
        elif positives:
            notes.append(f"{classes[number]}: no prediction, so this protocol's mean leaves it out")
    overlap = f"{settings['overlap']:g}"
    figures = {f"mAP@{overlap}": _mean(values, values)}
    if settings["labels"] and len(classes) >= 60:
        figures |= {f"{group}@{overlap}": _mean(values, own) for group, own in _GROUPS.items()}
    with_boxes = {given.frames[place] for place in np.unique(given.frame)} - excluded
    predicted = {found.frames[place] for place in np.unique(found.frame)}
    counts = {
        "frames": len(set(given.frames) - excluded),
        "frames_without_predictions": len(with_boxes - predicted),
        "truth_boxes": int(left.sum()),
        "predictions": len(rows.frame),
        "classes_with_truth": sum(bool(own["truth"]) for own in table.values()),
        **counts,
    }
    return Score("detection", name, figures, table, counts, notes, settings)


def _hits(
    rows: BoxRows, truth: BoxRows, overlap: float, *, kind: type[np.floating[Any]]
) -> NDArray[np.bool_]:
    known, place = np.unique(np.r_[rows.classes, truth.classes], return_inverse=True)
    groups = np.r_[rows.frame, truth.frame] * len(known) + place
    best, overlaps = best_truth(
        groups[: len(rows.frame)],
        rows.boxes.astype(kind),
        groups[len(rows.frame) :],
        truth.boxes.astype(kind),
    )
    return first_hits(best, overlaps, overlap)


def _kind(protocol: _Protocol) -> type[np.floating[Any]]:
    return np.float32 if protocol.single else np.float64


def _mean(values: dict[int, float], numbers: Any) -> float:
    own = np.array([values[number] for number in numbers if number in values])
    own = own[~np.isnan(own)]
    return float(own.mean()) if len(own) else float("nan")


def _label(classes: dict[int, str], number: int) -> str:
    name = classes[number]
    return name if list(classes.values()).count(name) == 1 else f"{name} ({number})"


TASK = ScoreTask(
    name="detection",
    summary="actions of people in boxes: AVA's mAP at an overlap of 0.5",
    predictions="CSV without header: video, timestamp, x1, y1, x2, y2, action, score",
    truth="CSV without header: video, timestamp, x1, y1, x2, y2, action, person; or video, "
    "timestamp of a frame without boxes",
    protocols={
        "official": "ActivityNet Evaluation/get_ava_performance.py: the 50 surest of a frame, "
        "frames that are not in the truth ignored",
        "pyslowfast": "PySlowFast ava_eval_helper.py: no cap, predictions in frames without truth "
        "are wrong, boxes of a frame taken in the order of the file",
        "mmaction2": "MMAction2 ava_utils.py: float32, frames without truth boxes ignored, "
        "classes without predictions left out of the mean",
    },
    example="detection predictions.csv ava_val_v2.2.csv --labels action_list.pbtxt "
    "--excluded ava_val_excluded_timestamps_v2.2.csv",
    run=run,
    options=(
        Option(
            "labels",
            Path,
            "list of the classes that count (.pbtxt; default: the classes of the truth)",
        ),
        Option("excluded", Path, "CSV of video, timestamp: frames to leave out"),
        Option("overlap", float, "minimum intersection over union of a match", 0.5),
        Option(
            "cap",
            int,
            "keep the N highest scores in each frame; 0 keeps all (default: the protocol's)",
        ),
        Option(
            "frames",
            str,
            "frames that count: listed in the truth, all, or those with true boxes "
            "(default: the protocol's)",
            choices=("listed", "all", "boxes"),
        ),
        Option("minimum_score", float, "leave out predictions with this score or less"),
        Option(
            "unlisted",
            str,
            "what to do with actions that are not in the list",
            "error",
            ("error", "skip"),
        ),
    ),
)
