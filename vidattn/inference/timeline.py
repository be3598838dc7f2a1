"""Windows that overlap -> what holds in each step of a video's time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray
from vidattn.errors import ArgumentError

# Of a step: there is no reason to look more often than fast cameras take pictures.
SHORTEST_SECONDS = 0.01


def check_step(every_seconds: float) -> None:
    """Raise ArgumentError for a length that no step can have."""
    if not SHORTEST_SECONDS <= every_seconds < math.inf:
        raise ArgumentError(
            f"every_seconds: expected at least {SHORTEST_SECONDS:g} seconds, got {every_seconds:g}"
        )


class Timeline:
    """Averages of windows' values over equal steps of time, one window after another.

    What is held does not grow with the number of windows.

    Args:
        start_seconds, end_seconds: of the video.
        every_seconds: length of a step; the last one ends with the video.
        width: values of a window, such as one for each class.

    Attributes:
        starts, ends: float64 (steps,), seconds.
    """

    def __init__(
        self, start_seconds: float, end_seconds: float, every_seconds: float, width: int
    ) -> None:
        check_step(every_seconds)
        # A sum of frames' times comes out a little above what it is: that is no step of its own.
        count = max(math.ceil((end_seconds - start_seconds) / every_seconds - 1e-6), 1)
        self.starts: FloatArray = start_seconds + every_seconds * np.arange(count, dtype=np.float64)
        last = max(end_seconds, float(self.starts[-1]))
        self.ends: FloatArray = np.append(self.starts[1:], last)
        self.windows = 0
        self._sum = np.zeros(width)
        self._sums = np.zeros((count, width))
        self._weights = np.zeros(count)

    def add(self, start_seconds: float, end_seconds: float, values: ArrayLike) -> None:
        """One window.

        Args:
            start_seconds, end_seconds: what it shows.
            values: (width,).
        """
        own = np.asarray(values, np.float64)
        self.windows += 1
        self._sum += own
        first = int(np.searchsorted(self.ends, start_seconds, side="right"))
        last = int(np.searchsorted(self.starts, end_seconds, side="left"))
        covered = slice(first, last)
        overlap = np.minimum(self.ends[covered], end_seconds)
        overlap = overlap - np.maximum(self.starts[covered], start_seconds)
        self._weights[covered] += overlap
        self._sums[covered] += overlap[:, None] * own

    def mean(self) -> FloatArray:
        """(width,): the mean over all windows, each of the same weight."""
        return self._sum / max(self.windows, 1)

    def averages(self) -> FloatArray:
        """(steps, width): the mean over the windows that show some of a step.

        Each counts by the seconds of the step that it shows. A step that none shows is as the
        nearest one that has a window.
        """
        shown = np.flatnonzero(self._weights > 0)
        if not len(shown):
            return np.tile(self.mean(), (len(self.starts), 1))
        places = np.arange(len(self.starts))
        after = np.searchsorted(shown, places).clip(max=len(shown) - 1)
        before = (after - 1).clip(min=0)
        nearer_before = np.abs(places - shown[before]) < np.abs(shown[after] - places)
        sources = np.where(nearer_before, shown[before], shown[after])
        found: FloatArray = self._sums[sources] / self._weights[sources][:, None]
        return found
