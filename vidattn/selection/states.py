"""Lasting states of a film: what stands still for a while, and what passes in front of it.

A slide stays until the next one comes, and a subtitle until it goes. The picture as a whole changes
so little that a mean over it, or over an eighth of it, cannot tell these changes from noise and
from small motions. But motion does not stand still: so what stands still for a while, and then
differs in a small place from what stood still before, is told apart here. And so is what comes
between: a small subject that passes through a still scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import FloatArray, IntArray

# Grey levels: no cell differs by more within a state, and one does between two. A subject that
# passes differs by more.
STEADY, _PASSING = 8.0, 24.0

Cells = NDArray[np.float32]


class States(NamedTuple):
    """The lasting states of a film.

    Attributes:
        numbers: (C,) the state of each frame, from 0; −1 where the picture moves.
        differences: (K, K) largest difference of a cell between two states, in [0, 1], as far as
            the picture does not become lighter or darker as a whole.
    """

    numbers: IntArray
    differences: NDArray[np.float32]

    def between(self) -> NDArray[np.float32]:
        """(C, C) differences of frames; 0 where one is in no state."""
        padded = np.pad(self.differences, (0, 1))
        return padded[np.ix_(self.numbers, self.numbers)]


def lasting_states(
    writing: NDArray[np.uint8], shots: IntArray, shown: FloatArray, least: float
) -> States:
    """Find the states that last for some time.

    Args:
        writing: (C, W) small cells of the frames that stand for the film, in time order.
        shots: (C,) their shots.
        shown: (C,) how long what each stands for is shown.
        least: how long a state lasts at least, in the units of `shown`.
    """
    cells = writing.astype(np.float32)
    numbers = np.full(len(cells), -1, np.int64)
    examples: list[Cells] = []  # of each state, the mean of what is steady, or frames of what moves
    for start, end in _steady_runs(cells, shots):
        if end - start > 1 and shown[start:end].sum() >= least:
            numbers[start:end] = len(examples)
            examples.append(cells[start:end].mean(axis=0, keepdims=True))
    steady = len(examples)
    for start, end in _moving_runs(numbers, shots):
        around = [
            examples[numbers[place]]
            for place in (start - 1, end)
            if 0 <= place < len(cells) and shots[place] == shots[start] and numbers[place] >= 0
        ]
        moved = [_changes(cells[start:end], still) > _PASSING for still in around]
        if moved and shown[start:end][np.all(moved, axis=0)].sum() >= least:
            own = np.flatnonzero(np.all(moved, axis=0)) + start
            numbers[own] = len(examples)
            examples.append(cells[own])
    return States(numbers, _differences(examples, steady))


def _steady_runs(cells: Cells, shots: IntArray) -> list[tuple[int, int]]:
    """Runs of frames that are like their first one."""
    starts = [0]
    for place in range(1, len(cells)):
        first = starts[-1]
        if (
            shots[place] != shots[first]
            or _changes(cells[place : place + 1], cells[first : first + 1])[0] > STEADY
        ):
            starts.append(place)
    return list(zip(starts, [*starts[1:], len(cells)], strict=True))


def _moving_runs(numbers: IntArray, shots: IntArray) -> list[tuple[int, int]]:
    """Runs of frames of one shot that are in no state."""
    moving = numbers < 0
    borders = np.flatnonzero(np.diff(moving) | (np.diff(shots) != 0)) + 1
    edges = [0, *borders.tolist(), len(numbers)]
    return [(a, b) for a, b in pairwise(edges) if moving[a]]


def _differences(examples: Sequence[Cells], steady: int) -> NDArray[np.float32]:
    """(K, K); what passes twice counts as different."""
    found = np.zeros((len(examples), len(examples)), np.float32)
    for one, own in enumerate(examples):
        for other in range(one):
            to = examples[other] if other < steady else own.mean(axis=0, keepdims=True)
            found[one, other] = found[other, one] = np.median(_changes(own, to)) / 255
    return found


def _changes(some: Cells, other: Cells) -> Cells:
    """(N, W), (1, W) -> (N,) the largest change of a cell, beside that of the whole picture."""
    changes = some - other
    found: Cells = np.abs(changes - np.median(changes, axis=1, keepdims=True)).max(axis=1)
    return found
