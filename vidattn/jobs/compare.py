from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn import evaluation
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.evaluation import Interval
from vidattn.notebook import html_table

SEED = 0
RANKING_RESAMPLES = 1000
# What two results may differ in besides the model, in the order of the record.
SETTINGS = ("data", "folds", "protocol", "views", "crops", "aggregation", "decoder", "versions")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two results on the videos that both have.

    Attributes:
        figure: "video_top1", or "video_mean_average_precision" where videos have several labels.
        first, second: the figure of each, on the common videos.
        difference: first − second, with its 95 % bootstrap interval, groups resampled whole;
            the interval is None where there are fewer than two groups.
        videos: how many both have.
        right_in_first, right_in_second: videos that only one of them recognised.
        only_in_first, only_in_second: videos that only one of them evaluated.
        settings: name -> its two values, where they differ.
    """

    figure: str
    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    videos: int
    right_in_first: list[str]
    right_in_second: list[str]
    only_in_first: list[str]
    only_in_second: list[str]
    settings: dict[str, list[Any]]

    def __repr__(self) -> str:
        interval = f" ({_points(*self.interval)})" if self.interval else ""
        return (
            f"<Comparison of {self.figure}: {_points(self.difference)} points{interval}, "
            f"{self.videos} videos>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: both figures and their difference."""
        rows = [
            ("first", f"{self.first:.1%}", ""),
            ("second", f"{self.second:.1%}", ""),
            (
                "first − second, points",
                _points(self.difference),
                _points(*self.interval) if self.interval else "",
            ),
        ]
        header = (self.figure.replace("_", " "), "value", "95 % interval")
        return html_table(f"{self.videos} videos that both have", header, rows)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return asdict(self)


def compare(first: str | Path, second: str | Path) -> Comparison:
    """Compare two results of `vidattn evaluate`, video by video.

    Args:
        first, second: their `evaluation.json`.

    Raises:
        AnnotationError: a file is no such result.
        ArgumentError: they have no video in common, or name different classes, labels or
            groups for one: then their figures are not of the same thing.
    """
    ours, theirs = _read(first), _read(second)
    if set(ours.classes) != set(theirs.classes):
        odd = sorted(set(ours.classes) ^ set(theirs.classes))
        raise ArgumentError(f"classes: only one result knows {', '.join(odd[:5])}")
    names = [name for name in ours.videos if name in theirs.videos]
    if not names:
        raise ArgumentError(f"videos: {first} and {second} have none in common")
    _check_truth(ours, theirs, names)
    groups = [str(ours.videos[name].get("group", name)) for name in names]
    if ours.multi_label:
        figure, (mine, other), found = _rankings(ours, theirs, names, groups)
        alone: list[list[str]] = [[], []]
    else:
        figure, (mine, other), found, alone = _answers(ours, theirs, names, groups)
    return Comparison(
        figure=figure,
        first=mine,
        second=other,
        difference=mine - other,
        interval=None if found is None else (found.low, found.high),
        videos=len(names),
        right_in_first=alone[0],
        right_in_second=alone[1],
        only_in_first=[name for name in ours.videos if name not in theirs.videos],
        only_in_second=[name for name in theirs.videos if name not in ours.videos],
        settings=_differing(ours.record, theirs.record),
    )


@dataclass(frozen=True, eq=False)
class _Result:
    """What is compared of one file."""

    record: Mapping[str, Any]
    classes: list[str]
    videos: dict[str, Mapping[str, Any]]

    @property
    def multi_label(self) -> bool:
        return "video_mean_average_precision" in self.record

    def named(self, names: Sequence[str]) -> list[Mapping[str, Any]]:
        return [self.videos[name] for name in names]

    def scores(self, names: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
        order = [self.classes.index(name) for name in classes]
        return np.array([self.videos[name]["scores"] for name in names])[:, order]


def _points(*shares: float) -> str:
    """Percentage points: one, or from one to another."""
    return " to ".join(f"{100 * share:+.1f}" for share in shares)


def _read(path: str | Path) -> _Result:
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        if "task" in record and record["task"] != "recognition":
            raise ValueError(f"one of the task {record['task']}")
        videos = {video["video"]: video for video in record["videos"]}
        classes = [str(name) for name in record["classes"]]
        for video in videos.values():
            if len(video["scores"]) != len(classes) or not video["labels"]:
                raise ValueError(f"{video['video']}: scores or labels are missing")
        result = _Result(record, classes, videos)
        if not result.multi_label:
            [str(video["predicted"]) for video in videos.values()]
    except OSError as error:
        raise AnnotationError(path, 0, str(error.strerror or error)) from None
    except (ValueError, KeyError, TypeError) as error:
        got = f"{type(error).__name__}: {error}"
        reason = f"expected a result of `vidattn evaluate` (recognition), got {got}"
        raise AnnotationError(path, 0, reason) from None
    return result


def _check_truth(ours: _Result, theirs: _Result, names: Sequence[str]) -> None:
    if ours.multi_label != theirs.multi_label:
        raise ArgumentError("labels: one result has several a video, the other has one")
    for key in ("labels", "group"):
        wrong = [
            name
            for name in names
            if _sorted(ours.videos[name].get(key)) != _sorted(theirs.videos[name].get(key))
        ]
        if wrong:
            pair = [result.videos[wrong[0]].get(key) for result in (ours, theirs)]
            raise ArgumentError(
                f"{key}: {len(wrong)} of {len(names)} common videos have others in the second "
                f"result, such as {wrong[0]}: {pair[0]} and {pair[1]}"
            )


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _answers(
    ours: _Result, theirs: _Result, names: Sequence[str], groups: Sequence[str]
) -> tuple[str, list[float], Interval | None, list[list[str]]]:
    right = [
        np.array([video["predicted"] in video["labels"] for video in result.named(names)])
        for result in (ours, theirs)
    ]
    found = None
    if len(set(groups)) > 1:
        found = evaluation.paired_difference(*right, seed=SEED, clusters=groups)
    alone = [
        [name for name, only in zip(names, mine & ~other, strict=True) if only]
        for mine, other in (right, right[::-1])
    ]
    return "video_top1", [float(own.mean()) for own in right], found, alone


def _rankings(
    ours: _Result, theirs: _Result, names: Sequence[str], groups: Sequence[str]
) -> tuple[str, list[float], Interval | None]:
    classes = ours.classes
    scores = [result.scores(names, classes) for result in (ours, theirs)]
    labels = np.array([[name in ours.videos[own]["labels"] for name in classes] for own in names])
    found = None
    if len(set(groups)) > 1:

        def difference(rows: NDArray[np.int64]) -> float:
            first, second = (
                evaluation.mean_average_precision(own[rows], labels[rows]) for own in scores
            )
            return first - second

        found = evaluation.bootstrap_statistic(
            difference, len(names), seed=SEED, clusters=groups, resamples=RANKING_RESAMPLES
        )
    values = [evaluation.mean_average_precision(own, labels) for own in scores]
    return "video_mean_average_precision", values, found


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        name: [ours.get(name), theirs.get(name)]
        for name in SETTINGS
        if ours.get(name) != theirs.get(name)
    }
