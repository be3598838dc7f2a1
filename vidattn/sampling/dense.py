from __future__ import annotations

import math

import numpy as np

from vidattn.sampling.padding import require_positive

# Halves go up, also where a product that should be a half comes out a little below it.
_HALF = 0.5 + 1e-6


def dense_span(length: int, stride: float) -> int:
    """Frames from the first to the last of a clip: (length − 1) · stride, rounded, and 1."""
    require_positive("length", length)
    require_positive("stride", stride)
    return math.floor((length - 1) * stride + _HALF) + 1


def dense_clips(starts: np.ndarray | int, length: int, stride: float = 1) -> np.ndarray:
    """Clips of `length` frames, `stride` apart.

    Args:
        starts: first frame of each clip, any shape (one integer: one clip).
        length: frames a clip.
        stride: frames from one to the next. A fraction resamples in time: the k-th frame is
            start + k · stride rounded, halves up, so below 1 frames repeat. Rounding down would
            make 4.9999, from a rate that was measured, a frame less than 5.

    Returns:
        int64 (*starts.shape, length); may run past the end of a short video: `pad` them.
    """
    require_positive("length", length)
    require_positive("stride", stride)
    steps = np.floor(np.arange(length) * stride + _HALF).astype(np.int64)
    return np.asarray(starts, dtype=np.int64)[..., None] + steps


def centred_start(frame_count: int, length: int, stride: float = 1) -> int:
    """Where a clip in the middle of the video starts; 0 if the video is shorter than it."""
    return _last_start(frame_count, length, stride) // 2


def random_start(
    frame_count: int, length: int, stride: float, generator: np.random.Generator
) -> int:
    """Where a random clip starts, uniform over all that fit; 0 if none fits."""
    return int(generator.integers(_last_start(frame_count, length, stride) + 1))


def view_starts(frame_count: int, length: int, stride: float, views: int) -> np.ndarray:
    """Starts of `views` test clips, evenly from the first possible to the last; one is centred.

    Returns:
        int64 (views,): round(last · i / (views − 1)), halves to even; all 0 for a short video.
        This convention reaches the end of the video; starts at `last · i / views`, which some
        published results use, do not.
    """
    require_positive("views", views)
    if views == 1:
        return np.array([centred_start(frame_count, length, stride)], dtype=np.int64)
    last = _last_start(frame_count, length, stride)
    return np.round(last * np.arange(views) / (views - 1)).astype(np.int64)


def _last_start(frame_count: int, length: int, stride: float) -> int:
    require_positive("frame_count", frame_count)
    return max(frame_count - dense_span(length, stride), 0)
