from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, IntArray, finite_array
from vidattn.errors import ArgumentError

# Frames may lie this share of the mean interval beside an even grid and still be counted.
_TOLERANCE = 0.5


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """When each frame of a video is shown.

    Phones and screen recorders write a frame when there is one: seconds then cannot be turned
    into frames by the mean rate. Where frames are evenly apart they can, and are counted.

    Attributes:
        seconds: float64 (T,), on the video's own clock, T at least 1.
        fps: frames per second, the mean.
        duration_seconds: from the first frame's start to the last one's end; None if not known.

    Raises:
        ArgumentError: no frame, a time that is not finite, or no rate above 0.
    """

    seconds: FloatArray
    fps: float
    duration_seconds: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", finite_array("seconds", self.seconds, (None,)))
        if not len(self.seconds):
            raise ArgumentError("seconds: expected at least one frame, got none")
        if not 0 < self.fps < float("inf"):
            raise ArgumentError(f"fps: expected a number above 0, got {self.fps}")

    @classmethod
    def even(cls, frame_count: int, fps: float) -> FrameTimes:
        """Frames of a constant rate, the first at 0.

        >>> FrameTimes.even(3, 2).seconds.tolist()
        [0.0, 0.5, 1.0]
        """
        if frame_count < 1 or not 0 < fps < float("inf"):
            raise ArgumentError(
                "expected at least one frame and a frame rate above 0, "
                f"got {frame_count} frames at {fps} fps"
            )
        return cls(np.arange(frame_count) / fps, fps)

    def __len__(self) -> int:
        return len(self.seconds)

    @cached_property
    def are_even(self) -> bool:
        """Whether frames can be counted instead: each is within half a frame of an even grid.

        Times that jump back tell nothing: such frames are counted, too.
        """
        seconds = self.seconds
        if len(seconds) < 3 or (np.diff(seconds) < 0).any():
            return True
        step = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
        grid = seconds[0] + step * np.arange(len(seconds))
        return bool((np.abs(seconds - grid) <= _TOLERANCE * step).all())

    def nearest(self, seconds: ArrayLike) -> IntArray:
        """The frame nearest to each moment, the later one of two equally near; any shape.

        >>> FrameTimes(np.array([0.0, 1.0, 5.0]), 0.5).nearest([-1, 0.5, 2.9, 3.1]).tolist()
        [0, 1, 1, 2]
        """
        borders = (self.seconds[1:] + self.seconds[:-1]) / 2
        return np.searchsorted(borders, np.asarray(seconds), side="right").astype(np.int64)

    def apart(self, gap_seconds: float) -> tuple[FloatArray, float]:
        """Where the frames lie, and how far apart two of them are that keep a gap.

        Returns:
            (T,) positions and a distance: in frames where these are evenly apart, the distance
            to the nearest whole frame; else in seconds.
        """
        if self.are_even:
            return np.arange(len(self), dtype=np.float64), float(round(gap_seconds * self.fps))
        # Times are rounded to the file's clock: 0.5 s may be stored as 0.499999.
        return self.seconds, gap_seconds * (1 - 1e-5)

    @property
    def end_seconds(self) -> float:
        """When the last frame's time on the screen is over, as far as can be told."""
        after = float(self.seconds[-1]) + 1 / self.fps
        return (
            after
            if self.duration_seconds is None
            else max(after, float(self.seconds[0]) + self.duration_seconds)
        )

    def part(self, start_seconds: float, end_seconds: float) -> tuple[int, FrameTimes]:
        """The frames shown from one moment on and before another, or the one shown throughout.

        Args:
            start_seconds: before `self.end_seconds`.
            end_seconds: after the start, and after the first frame's time.

        Returns:
            the first of these frames, and the times of all of them.
        """
        first, end = np.searchsorted(self.seconds, [start_seconds, end_seconds]).tolist()
        if first == end:
            first = max(first - 1, 0)
            end = first + 1
        own = self.seconds[first:end]
        fps = self.fps
        if not self.are_even and own[-1] > own[0]:
            fps = float((len(own) - 1) / (own[-1] - own[0]))
        return first, FrameTimes(own, fps)
