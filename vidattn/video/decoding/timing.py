"""Rates and durations from the times of frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

# Containers that number their packets and do not say when each is shown.
_WITHOUT_TIMES = {"avi", "m4v", "h264", "hevc"}


def filled(times: Sequence[float | None], step: float, lost: int = 0) -> np.ndarray:
    """Times with the missing ones made up from the one before; `lost` more at the end."""
    found = np.empty(len(times) + lost)
    anchor, steps = 0.0, 0
    for place, time in enumerate([*times, *[None] * lost]):
        if time is not None and not np.isnan(time):
            anchor, steps = time, 0
        found[place] = anchor + steps * step
        steps += 1
    return found


def in_shown_order(seconds: np.ndarray, container_format: str) -> np.ndarray:
    """Times of frames as a decoder gives them, in the order in which they are shown.

    AVI and bare streams store no presentation times. FFmpeg guesses them from the order of packets,
    which is another one where two pictures share a packet (packed B-frames, as XviD writes them).
    """
    return np.sort(seconds) if container_format in _WITHOUT_TIMES else seconds


def frame_rate(seconds: np.ndarray, declared: float) -> float:
    """Frames per second: the header's, unless the timestamps tell another."""
    span = float(seconds[-1] - seconds[0])
    measured = (len(seconds) - 1) / span if span > 0 and _ascending(seconds) else 0.0
    if declared and (not measured or abs(measured / declared - 1) < 0.1):
        return declared
    return measured or 25.0


def duration_seconds(seconds: np.ndarray, tail: float, fps: float) -> float:
    """From the first frame's start to the last one's end; by count where times jump back."""
    if not _ascending(seconds):
        return len(seconds) / fps
    return float(seconds[-1] - seconds[0]) + (tail or 1 / fps)


def _ascending(seconds: np.ndarray) -> bool:
    return bool((np.diff(seconds) > 0).all())


def in_seconds(timestamps: np.ndarray, time_base: Fraction) -> np.ndarray:
    """Timestamps in units of a time base as seconds, float64."""
    return timestamps.astype(np.float64) * time_base.numerator / time_base.denominator
