from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, IntArray, at_least, finite_array
from vidattn.errors import ArgumentError
from vidattn.selection.gaps import Gaps


def select_frames(
    scores: ArrayLike,
    count: int,
    *,
    minimum_gap: float = 0,
    positions: ArrayLike | None = None,
) -> IntArray:
    """The `count` frames with the highest scores, in time order, kept apart in time.

    Frames are taken greedily from the highest score down, the earlier one first among equals;
    a frame closer than `minimum_gap` to one already taken is passed over. Where that leaves too
    few, the gap is halved for those still missing, and so on down to 0: the result always has
    min(count, T) frames.

    Args:
        scores: (T,), any finite numbers; higher is better.
        count: at least 1.
        minimum_gap: smallest distance between two frames, in the units of `positions`.
        positions: (T,), not decreasing: where each frame lies, such as its seconds; None to count
            frames. A gap of 0 or 1 frames allows neighbours.

    Returns:
        (min(count, T),) indices, increasing.

    >>> select_frames([0.1, 0.9, 0.8, 0.2, 0.5], 2, minimum_gap=2)
    array([1, 4])
    >>> select_frames([0.1, 0.9, 0.8, 0.2], 2, minimum_gap=0.5, positions=[0, 1, 1.1, 9])
    array([1, 3])
    """
    values = finite_array("scores", scores, (None,))
    gaps = Gaps(len(values), minimum_gap, positions)
    wanted = min(at_least("count", count, 1), len(values))
    order = np.argsort(-values, kind="stable")
    chosen: list[int] = []
    while len(chosen) < wanted:
        if chosen:
            gaps.shrink()
        blocked = gaps.blocked_by(chosen)
        for index in order.tolist():
            if len(chosen) < wanted and not blocked[index]:
                chosen.append(index)
                gaps.block(blocked, index)
    return np.sort(np.array(chosen, dtype=np.int64))


def uniform_frames(frame_count: int, count: int) -> IntArray:
    """The middle frames of `count` equal stretches of a video; all frames if there are fewer.

    >>> uniform_frames(10, 2)
    array([2, 7])
    """
    frame_count = at_least("frame_count", frame_count, 1)
    count = min(at_least("count", count, 1), frame_count)
    return (2 * np.arange(count, dtype=np.int64) + 1) * frame_count // (2 * count)


def random_frames(frame_count: int, count: int, generator: np.random.Generator) -> IntArray:
    """`count` different frames, every set equally likely, in time order; all if fewer."""
    frame_count = at_least("frame_count", frame_count, 1)
    count = min(at_least("count", count, 1), frame_count)
    chosen = generator.choice(frame_count, size=count, replace=False, shuffle=False)
    return np.sort(chosen).astype(np.int64)


def upsample_scores(
    scores: ArrayLike,
    centres: ArrayLike,
    frame_count: int,
    *,
    method: Literal["linear", "nearest"] = "linear",
) -> FloatArray:
    """Scores at a network's T' time positions -> one score for each source frame.

    Linear interpolation between the centres, or the score of the nearest centre (the earlier
    of two equally near); before the first and after the last centre their scores are held.

    Args:
        scores: (T',), finite.
        centres: (T',), strictly increasing: the source frame, possibly between two frames and
            possibly outside the video, that each score belongs to.
        frame_count: T, at least 1.

    Returns:
        (T,) float64.

    >>> upsample_scores([0, 1], [0.5, 2.5], 4).tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    values = finite_array("scores", scores, (None,))
    places = finite_array("centres", centres, (len(values),))
    frames = np.arange(at_least("frame_count", frame_count, 1), dtype=np.float64)
    if len(values) == 0:
        raise ArgumentError("scores: expected at least one, got none")
    if (np.diff(places) <= 0).any():
        raise ArgumentError(f"centres: expected strictly increasing frames, got {places.tolist()}")
    if method == "linear":
        return np.interp(frames, places, values)
    if method == "nearest":
        borders = (places[1:] + places[:-1]) / 2
        return values[np.searchsorted(borders, frames, side="left")]
    raise ArgumentError(f"method: expected 'linear' or 'nearest', got {method!r}")


def merge_windows(windows: Iterable[tuple[int, ArrayLike]]) -> FloatArray:
    """Scores of overlapping windows of a video -> one score a frame, their mean.

    Only unnormalised scores may be merged: weights that sum to one within each window say
    nothing about which window matters.

    Args:
        windows: (first frame, scores of that and the following frames), first frames not
            decreasing, from frame 0 on, no frame left out between windows.

    Returns:
        (T,) float64, to the end of the furthest window.

    >>> merge_windows([(0, [1, 1, 1]), (2, [3, 3])]).tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    merged = list(stream_merged(windows))
    if not merged:
        raise ArgumentError("windows: expected at least one, got none")
    return np.concatenate(merged)


def stream_merged(windows: Iterable[tuple[int, ArrayLike]]) -> Iterator[FloatArray]:
    """`merge_windows` in pieces: yields the scores of frames that no later window can reach.

    Holds no more than the frames of the windows that overlap, however long the video is.
    Concatenated, the pieces are what `merge_windows` returns.
    """
    start = 0  # first frame not yet yielded; sums and counts begin there
    sums = np.zeros(0)
    counts = np.zeros(0)
    for number, (first, scores) in enumerate(windows):
        values = finite_array(f"windows[{number}]", scores, (None,))
        if not start <= first <= start + len(sums):
            raise ArgumentError(
                f"windows[{number}]: expected a first frame from {start} to {start + len(sums)} "
                f"(in order and without a gap), got {first}"
            )
        done = first - start
        if done:
            yield sums[:done] / counts[:done]
        start = first
        length = max(len(sums) - done, len(values))
        sums = np.pad(sums[done:], (0, length - len(sums[done:])))
        counts = np.pad(counts[done:], (0, length - len(counts[done:])))
        sums[: len(values)] += values
        counts[: len(values)] += 1
    if len(sums):
        yield sums / counts
