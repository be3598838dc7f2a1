"""Which frames the test clips of published evaluations have: one convention a function.

Each agrees with the code that it names to the last index, also where that code is odd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidattn.sampling.evaluation_protocol import ClipShape


def pyslowfast_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips of `frames · stride · fps / target_fps` source frames, never reaching the end.

    View i starts at `room · i / views`, a fraction of a frame too; T places spread evenly from
    the first to the last frame of the span, in single precision, cut to whole frames.

    Source: PySlowFast `datasets/decoder.py`, `get_start_end_idx` and `temporal_sampling`.
    """
    span = _span(fps, clip)
    room = max(frame_count - span, 0)
    starts = [room * view / clip.views for view in range(clip.views)]
    return _even_places(starts, span, frame_count, clip.frames)


def _span(fps: float, clip: ClipShape) -> float:
    target_fps = fps if clip.target_fps is None else clip.target_fps
    # In this order: other ones round differently.
    return max(1.0, clip.stride * clip.frames / target_fps * fps)


def _even_places(starts: list[float], span: float, frame_count: int, frames: int) -> np.ndarray:
    places = np.stack([_linspace(start, start + span - 1, frames) for start in starts])
    return np.clip(places, 0, np.float32(frame_count - 1)).astype(np.int64)


def _linspace(start: float, end: float, count: int) -> np.ndarray:
    """Single-precision places from both ends towards the middle, as torch.linspace has them."""
    first, last = np.float32(start), np.float32(end)
    if count == 1:
        return np.array([first])
    step = (last - first) / np.float32(count - 1)
    steps = np.arange(count, dtype=np.float32)
    half = count // 2
    return np.concatenate([first + step * steps[:half], last - step * steps[::-1][half:]])
