"""How much alike the frames look that stand for a film."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import IntArray
from vidattn.selection.candidates import Candidates
from vidattn.selection.differing import CELL_WEIGHT, squared_differences
from vidattn.selection.sketch import Sketch
from vidattn.selection.states import STEADY, lasting_states

_NEAR_COPY = 0.0015  # squared difference of two frames that look the same


class Likeness(NamedTuple):
    """Of C frames, each with each.

    Attributes:
        squares: (C, C) squared differences: the mean over the picture, and the largest of one cell.
        copies: (C, C) whether they look the same.
        states: (C,) see `vidattn.selection.states.States`.
    """

    squares: NDArray[np.float32]
    copies: NDArray[np.bool_]
    states: IntArray

    def alike(self) -> NDArray[np.float32]:
        """(C, C), 1 for equal ones, to 0."""
        typical = float(np.median(self.squares)) or 1.0
        least = np.float32(-max(typical, _NEAR_COPY))
        found: NDArray[np.float32] = np.exp(self.squares / least)
        return found


def compare(sketch: Sketch, candidates: Candidates, *, least_share: float) -> Likeness:
    """Compare the frames that stand for a film.

    Within a shot, text that is shown for a while differs from other text, and from none.

    Args:
        least_share: of the film for which it is shown at least.
    """
    rows, shots = candidates.rows, candidates.shots
    squares, differences = squared_differences(sketch, rows)
    copies: NDArray[np.bool_] = differences <= _NEAR_COPY
    if sketch.writing is None:
        return Likeness(squares, copies, np.full(len(rows), -1))
    states = lasting_states(sketch.writing[rows], shots, candidates.shown, least_share)
    if len(states.differences):
        same_shot = shots[:, None] == shots
        between = states.between()
        squares += np.float32(CELL_WEIGHT) * (between * same_shot) ** 2
        copies &= (between <= STEADY / 255) | ~same_shot
    return Likeness(squares, copies, states.numbers)
