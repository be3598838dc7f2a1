"""Frames kept apart: what lies too near to one that was chosen, and what to do if none is left."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, finite_array
from vidattn.errors import ArgumentError


class Gaps:
    """The smallest distance between chosen frames; it shrinks where it leaves too few.

    Args:
        frame_count: T.
        minimum_gap: smallest distance between two frames, in the units of `positions`.
        positions: (T,), not decreasing: where each frame lies, such as its seconds; None to count
            frames.

    Attributes:
        positions: float64 (T,).

    Raises:
        ArgumentError: the gap is negative or not finite, or the positions are not as above.
    """

    def __init__(
        self, frame_count: int, minimum_gap: float, positions: ArrayLike | None = None
    ) -> None:
        if not 0 <= minimum_gap < float("inf"):
            raise ArgumentError(f"minimum_gap: expected 0 or more, got {minimum_gap}")
        self._gap = float(minimum_gap)
        if positions is None:
            self.positions: FloatArray = np.arange(frame_count, dtype=np.float64)
        else:
            self.positions = finite_array("positions", positions, (frame_count,))
        distances = np.diff(self.positions)
        if (distances < 0).any():
            raise ArgumentError("positions: expected numbers that do not decrease")
        self._smallest = float(distances[distances > 0].min(initial=np.inf))
        self._in_frames = bool((self.positions == np.round(self.positions)).all())

    def shrink(self) -> None:
        """Halve the gap, to a whole number where frames are counted.

        It ends at 0, once it keeps no two frames apart.
        """
        half = float(np.floor(self._gap / 2) if self._in_frames else self._gap / 2)
        self._gap = half if half > self._smallest else 0.0

    def block(self, blocked: NDArray[np.bool_], index: int) -> None:
        """Mark a frame, and those that are closer to it than the gap."""
        place = self.positions[index]
        first = np.searchsorted(self.positions, place - self._gap, side="right")
        last = np.searchsorted(self.positions, place + self._gap, side="left")
        blocked[first:last] = True
        blocked[index] = True

    def blocked_by(self, chosen: ArrayLike) -> NDArray[np.bool_]:
        """(T,): the chosen frames, and those too close to one of them."""
        blocked = np.zeros(len(self.positions), dtype=bool)
        for index in np.asarray(chosen, dtype=np.int64):
            self.block(blocked, int(index))
        return blocked
