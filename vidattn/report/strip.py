from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, finite_array
from vidattn.errors import ArgumentError
from vidattn.report.pictures import Pixels, heat_colours

BACKGROUND = (20, 20, 24)
_MARKER = (255, 255, 255)


def draw_strip(frame_weights: ArrayLike, position: float, width: int, height: int) -> Pixels:
    """Weights over time as bars, relative to the highest, with a white line at `position`.

    Args:
        frame_weights: (T,), non-negative; where T > `width`, a column shows the highest of its
            frames.
        position: in [0, T − 1].
        width, height: pixels; height at least 8.

    Returns:
        uint8 (height, width, 3).
    """
    weights = finite_array("frame_weights", frame_weights, (None,), minimum=0)
    count = len(weights)
    if count == 0 or not 0 <= position <= count - 1:
        raise ArgumentError(f"position: expected a place in {count} weights, got {position}")
    strip = _bars(weights.tobytes(), width, height).copy()
    centre = (position + 0.5) / count * width
    half = max(1, width // 320)
    strip[:, max(0, int(centre) - half) : int(centre) + half + 1] = BACKGROUND
    strip[:, max(0, int(centre) - half + 1) : int(centre) + half] = _MARKER
    return strip


@lru_cache(maxsize=4)  # every frame of a film has the same bars
def _bars(weights_bytes: bytes, width: int, height: int) -> Pixels:
    weights: FloatArray = np.frombuffer(weights_bytes)
    shares = weights / weights.max() if weights.max() > 0 else weights
    if len(shares) > width:
        shares = np.maximum.reduceat(shares, np.arange(width) * len(shares) // width)
    columns = shares[np.arange(width) * len(shares) // width]
    space = max(2, height // 8)  # above the bars, so that the highest one is seen to end
    tall = np.round(columns * (height - space)).astype(int)
    strip = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
    filled = np.arange(height)[:, None] >= height - np.maximum(tall, columns > 0)
    strip[filled] = np.broadcast_to(heat_colours(0.25 + 0.6 * columns), strip.shape)[filled]
    return strip
