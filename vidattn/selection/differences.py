"""What changes from frame to frame: the simplest scores and maps, and the baseline to beat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import FloatArray, pixel_array
from vidattn.errors import ArgumentError

Chunks = NDArray[np.uint8] | Iterable[NDArray[np.uint8]]


def difference_scores(frames: Chunks) -> FloatArray:
    """Mean absolute difference of each frame from the one before it, in grey levels [0, 255].

    The first frame, which has none before it, scores 0. Camera motion, cuts and flicker count
    as much as actions do: a baseline, not a judge of content.

    Args:
        frames: uint8 (T, H, W, 3), or an iterable of such chunks in order; one chunk and one
            frame are held at a time.

    Returns:
        (T,) float64.
    """
    scores = [_changes(chunk, before).mean(axis=(1, 2)) for chunk, before in _with_previous(frames)]
    return np.concatenate(scores).astype(np.float64)


def difference_maps(frames: Chunks, *, grid: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Where each frame differs from the one before it: mean absolute difference over colours.

    The first frame is compared with the second; a single frame has a map of zeros.

    Args:
        frames: uint8 (T, H, W, 3), or an iterable of such chunks in order; one chunk and one
            frame are held at a time, and all maps.
        grid: (H', W'): the map is averaged over that many equal cells (their borders rounded
            to whole pixels), which is what makes it comparable with a network's coarse map.

    Returns:
        (T, H, W) or (T, H', W') float32, in grey levels [0, 255].
    """
    return difference_scores_and_maps(frames, grid=grid)[1]


def difference_scores_and_maps(
    frames: Chunks, *, grid: tuple[int, int] | None = None
) -> tuple[FloatArray, NDArray[np.float32]]:
    """`difference_scores` and `difference_maps` in one pass."""
    scores: list[NDArray[np.float32]] = []
    maps: list[NDArray[np.float32]] = []
    for chunk, before in _with_previous(frames):
        height, width = grid or chunk.shape[1:3]
        if not (0 < height <= chunk.shape[1] and 0 < width <= chunk.shape[2]):
            raise ArgumentError(f"grid: expected cells of at least a pixel each, got {grid}")
        changes = _changes(chunk, before)
        scores.append(changes.mean(axis=(1, 2)))
        maps += [_averaged(each, (height, width)) for each in changes]
    maps[0] = maps[min(1, len(maps) - 1)]
    return np.concatenate(scores).astype(np.float64), np.stack(maps)


def stream_chunks(frames: Chunks) -> Iterator[NDArray[np.uint8]]:
    """Checked chunks (t, H, W, 3), t ≥ 1, all of one size, from an array or an iterable.

    Raises:
        ArgumentError: no frame at all, or a chunk of another type or size than the first.
    """
    size, empty = None, True
    for chunk in [frames] if isinstance(frames, np.ndarray) else frames:
        pixels = pixel_array("frames", chunk, 4)
        if size not in (None, pixels.shape[1:]):
            raise ArgumentError(f"frames: expected all of size {size}, got {pixels.shape[1:]}")
        size = pixels.shape[1:]
        if len(pixels):
            empty = False
            yield pixels
    if empty:
        raise ArgumentError("frames: expected at least one, got none")


def _with_previous(frames: Chunks) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    before = None
    for chunk in stream_chunks(frames):
        yield chunk, chunk[0] if before is None else before
        before = chunk[-1].copy()


def _changes(chunk: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, H, W): distance of each frame of a chunk from its predecessor, mean over colours."""
    changes = np.empty(chunk.shape[:3], dtype=np.float32)
    for index, frame in enumerate(chunk):
        previous = chunk[index - 1] if index else before
        # The larger minus the smaller stays within uint8: no wide copy of the frames.
        distance = np.maximum(frame, previous) - np.minimum(frame, previous)
        np.mean(distance, axis=2, out=changes[index], dtype=np.float32)
    return changes


def _averaged(values: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    for axis, cells in enumerate(grid):
        length = values.shape[axis]
        if cells == length:
            continue
        starts = np.arange(cells) * length // cells
        sizes = np.diff(starts, append=length).astype(np.float32)
        sums = np.add.reduceat(values, starts, axis=axis)
        values = sums / np.expand_dims(sizes, 1 - axis)
    return values
