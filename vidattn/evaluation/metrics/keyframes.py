"""Are the selected frames inside the action, and what would chance have done?

A video's truth is its action spans, half open: frames `start` to `end − 1` show the action.
Everything here takes one video; average over videos with `intervals.bootstrap_mean`.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import IntArray, at_least, index_array
from vidattn.errors import ArgumentError
from vidattn.selection.frames import uniform_frames


def keyframe_precision(selected: ArrayLike, spans: ArrayLike) -> float:
    """Share of the selected frames that lie inside an action span.

    Args:
        selected: (K,) frame indices, K ≥ 1, all different.
        spans: (2,) or (S, 2): start and end frame, end exclusive. S may be 0.

    Returns:
        In [0, 1].

    >>> keyframe_precision([3, 10, 20, 29], [10, 21])
    0.5
    """
    return float(_inside(_selected(selected), _spans(spans)).mean())


def action_recall(selected: ArrayLike, spans: ArrayLike) -> float:
    """Share of the action spans that at least one selected frame hits.

    For the usual single span it is 1 if the action was seen at all, else 0.

    Args:
        selected: (K,) frame indices, K ≥ 1, all different.
        spans: (2,) or (S, 2), S ≥ 1: start and end frame, end exclusive.

    Returns:
        In [0, 1].

    >>> action_recall([3, 10, 20], [[0, 5], [30, 40]])
    0.5
    """
    frames, limits = _selected(selected), _some_spans(spans)
    hits = (frames[:, None] >= limits[:, 0]) & (frames[:, None] < limits[:, 1])
    return float(hits.any(axis=0).mean())


def random_precision(spans: ArrayLike, frame_count: int) -> float:
    """Expected `keyframe_precision` of frames drawn at random: |action| / T, for any K.

    >>> random_precision([10, 40], 120)
    0.25
    """
    return float(_action_mask(spans, frame_count).mean())


def random_recall(spans: ArrayLike, frame_count: int, count: int) -> float:
    """Expected `action_recall` of `count` different frames drawn at random.

    For a span of A of the T frames: 1 − C(T − A, K) / C(T, K); the mean over spans.

    Args:
        spans: (2,) or (S, 2), S ≥ 1.
        frame_count: T.
        count: K; more than T counts as T.

    >>> random_recall([0, 1], 4, 2)
    0.5
    """
    limits = _some_spans(spans)
    _action_mask(limits, frame_count)
    drawn = min(at_least("count", count, 1), frame_count)
    missed = [
        comb(frame_count - int(end - start), drawn) / comb(frame_count, drawn)
        for start, end in limits
    ]
    return 1 - sum(missed) / len(missed)


def uniform_precision(spans: ArrayLike, frame_count: int, count: int) -> float:
    """`keyframe_precision` of `count` frames in the middles of equal stretches of the video.

    >>> uniform_precision([0, 50], 100, 4)
    0.5
    """
    mask = _action_mask(spans, frame_count)
    return float(mask[uniform_frames(frame_count, count)].mean())


def uniform_recall(spans: ArrayLike, frame_count: int, count: int) -> float:
    """`action_recall` of `count` frames in the middles of equal stretches of the video."""
    _action_mask(spans, frame_count)
    return action_recall(uniform_frames(frame_count, count), spans)


def _selected(selected: ArrayLike) -> IntArray:
    frames = index_array("selected", selected, (None,))
    if len(frames) == 0 or len(np.unique(frames)) < len(frames):
        raise ArgumentError(f"selected: expected different frames, got {frames.tolist()}")
    return frames


def _spans(spans: ArrayLike) -> IntArray:
    array = np.asarray(spans)
    if array.ndim == 1 and array.size:
        array = array[None]
    limits = index_array("spans", array.reshape(-1, 2) if array.size == 0 else array, (None, 2))
    if (limits[:, 0] >= limits[:, 1]).any():
        raise ArgumentError(f"spans: expected start < end, got {limits.tolist()}")
    return limits


def _some_spans(spans: ArrayLike) -> IntArray:
    limits = _spans(spans)
    if len(limits) == 0:
        raise ArgumentError("spans: expected at least one, got none")
    return limits


def _action_mask(spans: ArrayLike, frame_count: int) -> NDArray[np.bool_]:
    limits = _spans(spans)
    at_least("frame_count", frame_count, 1)
    if limits.size and limits.max() > frame_count:
        raise ArgumentError(
            f"spans: expected ends of at most {frame_count} frames, got {limits.tolist()}"
        )
    return _inside(np.arange(frame_count), limits)


def _inside(frames: IntArray, limits: IntArray) -> NDArray[np.bool_]:
    hits = (frames[:, None] >= limits[:, 0]) & (frames[:, None] < limits[:, 1])
    return np.asarray(hits.any(axis=1))
