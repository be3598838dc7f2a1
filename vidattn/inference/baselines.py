"""How right it is when and where a method says that something happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn import evaluation, selection
from vidattn.data.actions import Truth
from vidattn.evaluation import Interval

FloatArray = NDArray[np.float64]

METHODS = ("attention", "shuffled", "difference")


@dataclass(frozen=True, eq=False)
class Whereabouts:
    """When and where something happens in one video, by one method.

    Where only the times were asked for, points and boxes are of no frame.

    Attributes:
        scores: (T,), higher is more likely a key frame.
        points: (T, 2) as x, y in source pixels, the place in each frame.
        boxes: (T, 4) as x1, y1, x2, y2, the region in each frame.
        maps: the weights (H', W') of each frame's places, where they are known.
        extents: (T, 4), the part of the frame that each map covers, as x1, y1, x2, y2.
    """

    scores: FloatArray
    points: FloatArray
    boxes: FloatArray
    maps: Sequence[NDArray[Any]] = ()
    extents: FloatArray | None = None

    def to_json(self) -> dict[str, Any]:
        """Rounded to what the figures need."""
        return {
            "scores": self.scores.round(5),
            "points": self.points.round(2),
            "boxes": self.boxes.round(2),
        }


def keyframe_figures(
    scores: Sequence[Mapping[str, ArrayLike]], truths: Sequence[Truth], *, count: int, seed: int
) -> dict[str, Interval]:
    """Key-frame precision of each method, of uniform and of random frames.

    Args:
        scores: of each video, method -> (T,).
        count: frames selected a video.
        seed: of the intervals' bootstrap over videos.
    """
    gathered: dict[str, list[float]] = {}
    for own, truth in zip(scores, truths, strict=True):
        chosen = {m: selection.select_frames(own[m], count, minimum_gap=2) for m in METHODS}
        frame_count = len(np.asarray(own[METHODS[0]]))
        _gather(gathered, keyframe_precisions(chosen, [truth], frame_count, count))
    return _with_intervals(gathered, seed)


def keyframe_precisions(
    chosen: Mapping[str, ArrayLike], actions: Sequence[Truth], frame_count: int, count: int
) -> dict[str, float]:
    """Share of the key frames of one video that are inside any of its actions.

    Args:
        chosen: method -> indices of its key frames.
        actions: at least one.
        frame_count: of the video.
        count: key frames of "uniform", which is added, as is the expectation of "random".
    """
    spans = [(action.start_frame, action.end_frame) for action in actions]
    found = {name: evaluation.keyframe_precision(own, spans) for name, own in chosen.items()}
    found["uniform"] = evaluation.uniform_precision(spans, frame_count, count)
    found["random"] = evaluation.random_precision(spans, frame_count)
    return found


def action_recalls(
    chosen: Mapping[str, ArrayLike], actions: Sequence[Truth], frame_count: int, count: int
) -> dict[str, float]:
    """Share of the actions of one video that a key frame is inside of.

    Args:
        chosen, actions, frame_count, count: as in `keyframe_precisions`.
    """
    spans = [(action.start_frame, action.end_frame) for action in actions]
    found = {name: evaluation.action_recall(own, spans) for name, own in chosen.items()}
    found["uniform"] = evaluation.uniform_recall(spans, frame_count, count)
    found["random"] = evaluation.random_recall(spans, frame_count, count)
    return found


def region_figures(
    places: Sequence[Mapping[str, Whereabouts]],
    sizes: Sequence[tuple[int, int]],
    truths: Sequence[Truth],
    *,
    seed: int,
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Pointing game and box IoU in the frames of the action, by method and for the centre.

    Each video counts once: the mean over its action's frames. The centre's box is as large as
    the mean true box of all videos, which no other method is told.

    Args:
        places: of each video, method -> whereabouts.
        sizes: (height, width) of each video.
        seed: of the intervals' bootstrap over videos.

    Returns:
        pointing game and box IoU, method -> figure.
    """
    centre_size = mean_box_size(truths)
    hits: dict[str, list[float]] = {}
    overlaps: dict[str, list[float]] = {}
    for own, size, truth in zip(places, sizes, truths, strict=True):
        hit, overlap = region_matches(own, size, [truth], centre_size)
        _gather(hits, hit)
        _gather(overlaps, overlap)
    return _with_intervals(hits, seed), _with_intervals(overlaps, seed)


def region_matches(
    places: Mapping[str, Whereabouts],
    size: tuple[int, int],
    actions: Sequence[Truth],
    centre_size: ArrayLike,
) -> tuple[dict[str, float], dict[str, float]]:
    """Pointing game and box IoU of one video: means over the frames with an action.

    Where actions overlap in time, the true box that fits best counts.

    Args:
        places: method -> whereabouts.
        size: (height, width) of the video.
        actions: at least one.
        centre_size: (width, height) of the box of "centre", which is added.

    Returns:
        pointing game and box IoU, method -> figure.
    """
    true = boxes_by_frame(actions)
    frames = np.array(list(true))
    middle, half = np.array(size[::-1]) / 2, np.asarray(centre_size, dtype=np.float64) / 2
    guesses = {method: (own.points[frames], own.boxes[frames]) for method, own in places.items()}
    centre = np.concatenate([middle - half, middle + half])
    guesses["centre"] = (np.tile(middle, (len(frames), 1)), np.tile(centre, (len(frames), 1)))
    hits, overlaps = {}, {}
    for method, (points, boxes) in guesses.items():
        hits[method] = float(evaluation.pointing_game(points, list(true.values())).mean())
        pairs = zip(boxes, true.values(), strict=True)
        overlaps[method] = float(np.mean([evaluation.box_iou(a, b).max() for a, b in pairs]))
    return hits, overlaps


def region_energies(
    places: Mapping[str, Whereabouts], size: tuple[int, int], actions: Sequence[Truth]
) -> dict[str, float]:
    """Share of the maps' weight inside the true boxes: the mean over the frames with an action.

    Args:
        places: method -> whereabouts, with maps; a map without any weight counts as an even one.
        size: (height, width) of the video.
        actions: at least one.

    Returns:
        method -> share; "even" is what a map without preference gets, the boxes' share of the
        frame.
    """
    true = boxes_by_frame(actions)
    height, width = size
    everywhere = np.array([0.0, 0.0, width, height])
    found = {
        method: float(
            np.mean(
                [_energy(own.maps[frame], own.extents[frame], box) for frame, box in true.items()]
            )
        )
        for method, own in places.items()
        if own.extents is not None
    }
    even = [_energy(np.ones((1, 1)), everywhere, boxes) for boxes in true.values()]
    return found | {"even": float(np.mean(even))}


def _energy(weights: ArrayLike, extent: FloatArray, boxes: ArrayLike) -> float:
    """Share of a map inside boxes, both in source pixels."""
    values = np.asarray(weights, dtype=np.float64)
    rows, columns = values.shape
    cell = (extent[2:] - extent[:2]) / (columns, rows)
    cells = (np.asarray(boxes, dtype=np.float64) - np.tile(extent[:2], 2)) / np.tile(cell, 2)
    return evaluation.energy_inside(values if values.any() else np.ones_like(values), cells)


def boxes_by_frame(actions: Iterable[Truth]) -> dict[int, list[Sequence[float]]]:
    """The true boxes of each frame that has any, in the order of the frames."""
    found: dict[int, list[Sequence[float]]] = {}
    for action in actions:
        for frame, box in zip(
            range(action.start_frame, action.end_frame), action.boxes, strict=True
        ):
            found.setdefault(frame, []).append(box)
    return dict(sorted(found.items()))


def mean_box_size(actions: Iterable[Truth]) -> FloatArray:
    """(width, height), the mean over all true boxes."""
    corners = np.concatenate([np.asarray(action.boxes, dtype=np.float64) for action in actions])
    return (corners[:, 2:] - corners[:, :2]).mean(0)


def _gather(gathered: dict[str, list[float]], figures: Mapping[str, float]) -> None:
    for method, figure in figures.items():
        gathered.setdefault(method, []).append(figure)


def _with_intervals(gathered: Mapping[str, Iterable[float]], seed: int) -> dict[str, Interval]:
    return {
        method: evaluation.bootstrap_mean(list(values), seed=seed, resamples=2000)
        for method, values in gathered.items()
    }
