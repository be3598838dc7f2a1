"""How much alike the frames look that stand for a film."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import FloatArray, IntArray
from vidattn.selection.candidates import Candidates
from vidattn.selection.descriptions import COLOURS
from vidattn.selection.sketch import Sketch
from vidattn.selection.states import STEADY, lasting_states

_CELL_WEIGHT = 0.25  # of the largest change of one cell, beside the mean over all
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
        found: NDArray[np.float32] = np.exp(-self.squares / max(typical, _NEAR_COPY))
        return found


def compare(sketch: Sketch, candidates: Candidates, *, least_share: float) -> Likeness:
    """Compare the frames that stand for a film.

    Within a shot, text that is shown for a while differs from other text, and from none.

    Args:
        least_share: of the film for which it is shown at least.
    """
    rows, shots = candidates.rows, candidates.shots
    squares, differences = _squares(sketch, rows)
    copies: NDArray[np.bool_] = differences <= _NEAR_COPY
    if sketch.writing is None:
        return Likeness(squares, copies, np.full(len(rows), -1))
    states = lasting_states(sketch.writing[rows], shots, candidates.shown, least_share)
    if len(states.differences):
        same_shot = shots[:, None] == shots
        between = states.between()
        squares += np.float32(_CELL_WEIGHT) * (between * same_shot) ** 2
        copies &= (between <= STEADY / 255) | ~same_shot
    return Likeness(squares, copies, states.numbers)


def _squares(
    sketch: Sketch, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(C, C) squared differences of frames: mean over the picture, and the largest of one cell.

    The second are those of colours alone: histograms of equal pictures differ by noise.
    """
    features = sketch.features[rows]
    squares, copies = _distances(features), _distances(features[:, :COLOURS])
    if sketch.cells is not None:
        cells = sketch.cells[rows]
        largest = np.zeros_like(squares)
        for column in cells.T:
            np.maximum(largest, np.abs(column[:, None] - column), out=largest)
        largest **= 2
        squares += np.float32(_CELL_WEIGHT) * largest
        copies += np.float32(_CELL_WEIGHT) * largest
    return squares, copies


def _distances(features: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = (features**2).sum(axis=1)
    squares: NDArray[np.float32] = np.maximum(norms[:, None] + norms - 2 * features @ features.T, 0)
    return squares


def sharpness_weights(candidates: Candidates) -> FloatArray:
    """(C,): 1/2 for a frame that is as sharp as is ordinary in its shot, to 0 for blur, to 1."""
    sharpness = candidates.sharpness.astype(np.float64)
    ordinary = np.ones(candidates.shot_count + 1)
    for shot in range(-1, candidates.shot_count):
        own = sharpness[(candidates.shots == shot) & (sharpness > 0)]
        if len(own):
            ordinary[shot] = np.median(own)
    if not (sharpness > 0).any():
        return np.ones(len(sharpness))
    return (sharpness + 1e-6) / (sharpness + ordinary[candidates.shots] + 1e-6)
