"""How much alike the frames look that stand for a film.

Two frames differ by the mean over the picture and by the largest change of one cell, so that a
small subject that moves is not averaged away; and by smaller changes of what stands still before
and after, such as text (see `vidattn.selection.states`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import IntArray
from vidattn.selection.candidates import Candidates
from vidattn.selection.differing import CELL_WEIGHT, squared_differences
from vidattn.selection.gaps import Gaps
from vidattn.selection.sketch import Sketch
from vidattn.selection.states import STEADY, lasting_states

_NEAR_COPY = 0.0015  # squared difference of two frames that look the same
_LEAST_SHARE = 0.01  # of the film that a text is shown for


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
        alike = self.squares / least
        return np.exp(alike, out=alike)


def compare(sketch: Sketch, candidates: Candidates, gaps: Gaps, lasting: float) -> Likeness:
    """Compare the frames that stand for a film.

    Within a shot, text that is shown for a while differs from other text, and from none.

    Args:
        gaps: of the film.
        lasting: how long it is shown at least, in the units of its positions; and for a hundredth
            of the film.
    """
    rows, shots = candidates.rows, candidates.shots
    squares, copies = squared_differences(sketch, rows, _NEAR_COPY)
    if sketch.writing is None:
        return Likeness(squares, copies, np.full(len(rows), -1))
    shown = candidates.shown.astype(np.float64)
    shown *= gaps.length / max(float(shown.sum()), 1e-9)
    least = max(lasting, _LEAST_SHARE * gaps.length)
    states = lasting_states(sketch.writing[rows], shots, shown, least)
    if len(states.differences):
        same_shot = shots[:, None] == shots
        between = states.between()
        squares += np.float32(CELL_WEIGHT) * (between * same_shot) ** 2
        copies &= (between <= STEADY / 255) | ~same_shot
    return Likeness(squares, copies, states.numbers)
