"""How much the candidates for key frames differ from each other, and how sharp they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import FloatArray
from vidattn.selection.candidates import Candidates
from vidattn.selection.descriptions import COLOURS
from vidattn.selection.sketch import Sketch

_ROWS_AT_ONCE = 256  # of candidates
CELL_WEIGHT = 0.25  # of the largest change of one cell, beside the mean over all


def squared_differences(
    sketch: Sketch, rows: NDArray[np.int64], near_copy: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(C, C) squared differences of frames, and which frames look the same.

    A difference is the mean over the picture and the largest of one cell. Copies are told by
    colours alone: histograms of equal pictures differ by noise.

    Args:
        rows: (C,) of the sketch.
        near_copy: squared difference of two frames that look the same.
    """
    features = sketch.features[rows]
    squares = np.empty((len(rows), len(rows)), np.float32)
    copies = np.empty(squares.shape, np.bool_)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        squares[part] = _distances(features, part)
        colours = _distances(features[:, :COLOURS], part)
        if sketch.cells is not None:
            cells = sketch.cells[rows]
            largest, apart = np.zeros_like(colours), np.empty_like(colours)
            for column in cells.T:
                np.abs(np.subtract(column[part, None], column, out=apart), out=apart)
                np.maximum(largest, apart, out=largest)
            largest *= largest
            largest *= np.float32(CELL_WEIGHT)
            squares[part] += largest
            colours += largest
        copies[part] = colours <= near_copy
    return squares, copies


def _distances(features: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
    """Squared distances of some rows from all."""
    norms = (features**2).sum(axis=1)
    squares = features[part] @ features.T
    squares *= -2
    squares += norms[part, None]
    squares += norms
    return np.maximum(squares, 0, out=squares)


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
