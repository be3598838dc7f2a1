"""When and where a model looks, and beside it what needs no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn import selection
from vidattn.inference.baselines import FloatArray, Whereabouts
from vidattn.inference.windows import VideoAttention, WindowedRecogniser
from vidattn.models import LoadedRecogniser
from vidattn.video import Geometry, VideoReader

# Differences are averaged over cells of this share of the short side before they are compared:
# single pixels flicker.
DIFFERENCE_CELL = 1 / 16
# Full-resolution frames held at once.
FULL_FRAMES = 4


def look(
    loaded: LoadedRecogniser, reader: VideoReader, *, seed: int
) -> tuple[VideoAttention, dict[str, Whereabouts]]:
    """Attention of a whole video, and whereabouts by each of `whereabouts.METHODS`.

    "shuffled" is the same attention with its time steps, and the cells within each, permuted at
    random: what the figures are worth without what the network found. "difference" is the
    largest difference between frames.

    Args:
        seed: of the shuffling.
    """
    attention = attention_of(loaded, reader)
    found = {
        "attention": of_attention(attention),
        "shuffled": of_attention(attention, shuffled_by=np.random.default_rng(seed)),
        "difference": of_differences(reader),
    }
    return attention, found


def attention_of(loaded: LoadedRecogniser, reader: VideoReader) -> VideoAttention:
    """Attention of a whole video; a few windows' frames are held at once."""
    return VideoAttention(list(WindowedRecogniser(loaded, reader).windows()))


def of_attention(
    attention: VideoAttention,
    *,
    shuffled_by: np.random.Generator | None = None,
    places: bool = True,
) -> Whereabouts:
    """What the attention says, or, `shuffled_by` a generator, what is left of it without order.

    Args:
        places: say where, too, and not only when.
    """
    scores = attention.frame_scores
    everything = np.arange(len(scores))
    order = everything if shuffled_by is None else shuffled_by.permutation(len(scores))
    if not places:
        return _times(scores[order])
    points, boxes, maps, extents = [], [], [], []
    for index in order:
        window = attention.window_at(int(index))
        regions = window.regions_at(int(index))
        if shuffled_by is not None:
            regions = shuffled_by.permutation(regions.ravel()).reshape(regions.shape)
        cells = selection.threshold_regions(regions)
        points.append(window.locator.to_source(selection.peak_location(regions), window.geometry))
        boxes.append(window.locator.to_source(cells, window.geometry)[0])
        maps.append(regions)
        rows, columns = regions.shape
        extents.append(window.locator.extent(rows, columns, window.geometry))
    return Whereabouts(scores[order], np.array(points), np.array(boxes), maps, np.array(extents))


def of_differences(reader: VideoReader, *, places: bool = True) -> Whereabouts:
    """Where and when a video changes most from frame to frame; a few frames are held at once.

    Args:
        places: say where, too, and not only when.
    """
    if not places:
        return _times(selection.difference_scores(_chunks(reader)))
    height, width = reader.size
    cell = max(DIFFERENCE_CELL * min(height, width), 1.0)
    grid = (max(round(height / cell), 1), max(round(width / cell), 1))
    scores, maps = selection.difference_scores_and_maps(_chunks(reader), grid=grid)
    geometry = Geometry((height, width), (0.0, 0.0, float(width), float(height)), grid)
    points = np.array([selection.peak_location(picture) for picture in maps])
    boxes = [_region(picture) for picture in maps]
    return Whereabouts(
        scores,
        geometry.to_source(np.tile(points, 2))[:, :2],
        geometry.to_source(np.array(boxes)),
        list(maps),
        np.tile([0.0, 0.0, width, height], (len(maps), 1)),
    )


def _times(scores: FloatArray) -> Whereabouts:
    return Whereabouts(scores, np.empty((0, 2)), np.empty((0, 4)))


def _chunks(reader: VideoReader) -> Iterator[NDArray[np.uint8]]:
    return (frames.array for frames in reader.chunks(frames_at_once=FULL_FRAMES))


def _region(picture: ArrayLike) -> NDArray[Any]:
    """The region of a map in cells; the whole map where nothing differs."""
    found = selection.threshold_regions(picture)
    rows, columns = np.shape(picture)
    return found[0] if len(found) else np.array([0.0, 0.0, columns, rows])
