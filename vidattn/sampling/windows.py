from __future__ import annotations

import numpy as np

from vidattn.errors import ArgumentError
from vidattn.sampling.dense import dense_clips, dense_span
from vidattn.sampling.padding import pad, require_positive


def window_starts(frame_count: int, length: int, stride: float, hop: int) -> np.ndarray:
    """Starts of the windows that together cover a video to its last frame.

    Args:
        frame_count: frames of the video, at least 1.
        length: frames a window.
        stride: frames from one frame of a window to the next; see `dense_clips`.
        hop: frames from one window's start to the next's, at most `length · stride`, or frames
            between two windows would be seen by neither.

    Returns:
        int64 (windows,): 0, hop, 2 · hop, …; the last window is moved back so that it ends on
        the last frame. A video shorter than a window gives one, from 0.

    Raises:
        ArgumentError: an argument is not positive, or the hop leaves gaps.
    """
    require_positive("frame_count", frame_count)
    require_positive("hop", hop)
    span = dense_span(length, stride)
    longest = max(int(length * stride), 1)
    if hop > longest:
        raise ArgumentError(
            f"hop: expected at most length · stride = {longest}, got {hop}: "
            "frames between the windows would be seen by none"
        )
    last = max(frame_count - span, 0)
    return np.append(np.arange(0, last, hop, dtype=np.int64), np.int64(last))


def sliding_windows(
    frame_count: int, length: int, *, stride: float = 1, hop: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the windows that cover a long video, and which of them are real.

    Args:
        hop: see `window_starts`; by default half a window's span, at least 1.

    Returns:
        (indices, valid), int64 and bool, each (windows, length); only a video shorter than one
        window has frames that are not valid.
    """
    if hop is None:
        hop = max(dense_span(length, stride) // 2, 1)
    starts = window_starts(frame_count, length, stride, hop)
    return pad(dense_clips(starts, length, stride), frame_count)
