"""When and where a model looks, beside what needs no model, and how right each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn import evaluation, selection
from vidattn.evaluation import Interval
from vidattn.models import LoadedRecogniser
from vidattn.models.windows import VideoAttention, WindowedRecogniser
from vidattn.video import Geometry, VideoReader

FloatArray = NDArray[np.float64]

METHODS = ("attention", "shuffled", "difference")

# Differences are averaged over cells of this share of the short side before they are compared:
# single pixels flicker.
DIFFERENCE_CELL = 1 / 16


@dataclass(frozen=True, eq=False)
class Whereabouts:
    """When and where something happens in one video, by one method.

    Attributes:
        scores: (T,), higher is more likely a key frame.
        points: (T, 2) as x, y in source pixels, the place in each frame.
        boxes: (T, 4) as x1, y1, x2, y2, the region in each frame.
    """

    scores: FloatArray
    points: FloatArray
    boxes: FloatArray

    def to_json(self) -> dict[str, Any]:
        """Rounded to what the figures need."""
        return {
            "scores": self.scores.round(5),
            "points": self.points.round(2),
            "boxes": self.boxes.round(2),
        }


@dataclass(frozen=True)
class Truth:
    """When and where the action is.

    Attributes:
        start_frame, end_frame: the action fills start_frame … end_frame - 1.
        boxes: x1, y1, x2, y2 in source pixels, one for each of these frames.
    """

    start_frame: int
    end_frame: int
    boxes: Sequence[Sequence[float]]


def look(
    loaded: LoadedRecogniser, reader: VideoReader, *, seed: int
) -> tuple[VideoAttention, dict[str, Whereabouts]]:
    """Attention of a whole video, and whereabouts by each of `METHODS`.

    "shuffled" is the same attention with its time steps, and the cells within each, permuted at
    random: what the figures are worth without what the network found. "difference" is the
    largest difference between frames.

    Args:
        seed: of the shuffling.
    """
    attention = VideoAttention(list(WindowedRecogniser(loaded, reader).windows()))
    found = {
        "attention": _of_attention(attention, np.random.default_rng(seed), shuffled=False),
        "shuffled": _of_attention(attention, np.random.default_rng(seed), shuffled=True),
        "difference": _of_differences(reader),
    }
    return attention, found


def _of_attention(
    attention: VideoAttention, generator: np.random.Generator, *, shuffled: bool
) -> Whereabouts:
    scores = attention.frame_scores
    order = generator.permutation(len(scores)) if shuffled else np.arange(len(scores))
    points, boxes = [], []
    for index in order:
        window = attention.window_at(int(index))
        regions = window.regions_at(int(index))
        if shuffled:
            regions = generator.permutation(regions.ravel()).reshape(regions.shape)
        cells = selection.threshold_regions(regions)
        points.append(window.locator.to_source(selection.peak_location(regions), window.geometry))
        boxes.append(window.locator.to_source(cells, window.geometry)[0])
    return Whereabouts(scores[order], np.array(points), np.array(boxes))


def _of_differences(reader: VideoReader) -> Whereabouts:
    pixels = reader.frames_at(range(len(reader))).pixels.permute(0, 2, 3, 1).numpy()
    height, width = pixels.shape[1:3]
    cell = max(DIFFERENCE_CELL * min(height, width), 1.0)
    grid = (max(round(height / cell), 1), max(round(width / cell), 1))
    maps = selection.difference_maps(pixels, grid=grid)
    geometry = Geometry((height, width), (0.0, 0.0, float(width), float(height)), grid)
    points = np.array([selection.peak_location(picture) for picture in maps])
    boxes = [_region(picture) for picture in maps]
    return Whereabouts(
        selection.difference_scores(pixels),
        geometry.to_source(np.tile(points, 2))[:, :2],
        geometry.to_source(np.array(boxes)),
    )


def _region(picture: ArrayLike) -> FloatArray:
    """The region of a map in cells; the whole map where nothing differs."""
    found = selection.threshold_regions(picture)
    rows, columns = np.shape(picture)
    return found[0] if len(found) else np.array([0.0, 0.0, columns, rows])


def key_frame_figures(
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
        span = (truth.start_frame, truth.end_frame)
        frame_count = len(np.asarray(own[METHODS[0]]))
        for method in METHODS:
            chosen = selection.select_frames(own[method], count, minimum_gap=2)
            gathered.setdefault(method, []).append(evaluation.keyframe_precision(chosen, span))
        uniform = evaluation.uniform_precision(span, frame_count, count)
        gathered.setdefault("uniform", []).append(uniform)
        gathered.setdefault("random", []).append(evaluation.random_precision(span, frame_count))
    return _with_intervals(gathered, seed)


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
    corners = np.concatenate([np.asarray(truth.boxes, dtype=np.float64) for truth in truths])
    half = (corners[:, 2:] - corners[:, :2]).mean(0) / 2
    hits: dict[str, list[float]] = {}
    overlaps: dict[str, list[float]] = {}
    for own, (height, width), truth in zip(places, sizes, truths, strict=True):
        frames = np.arange(truth.start_frame, truth.end_frame)
        middle = np.array([width / 2, height / 2])
        guesses = {method: (own[method].points, own[method].boxes) for method in METHODS}
        centre = np.concatenate([middle - half, middle + half])
        everywhere = int(frames.max()) + 1
        guesses["centre"] = (np.tile(middle, (everywhere, 1)), np.tile(centre, (everywhere, 1)))
        for method, (points, boxes) in guesses.items():
            hit = evaluation.pointing_game(points[frames], truth.boxes)
            hits.setdefault(method, []).append(float(hit.mean()))
            overlap = np.diag(evaluation.box_iou(boxes[frames], truth.boxes))
            overlaps.setdefault(method, []).append(float(overlap.mean()))
    return _with_intervals(hits, seed), _with_intervals(overlaps, seed)


def _with_intervals(gathered: Mapping[str, Iterable[float]], seed: int) -> dict[str, Interval]:
    return {
        method: evaluation.bootstrap_mean(list(values), seed=seed, resamples=2000)
        for method, values in gathered.items()
    }
