"""Frames that are left out at first, and looked at where something depends on them.

Between two frames that look alike, frames that were left out are taken for mixtures of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import IntArray
from vidattn.errors import ArgumentError
from vidattn.selection.steps import Cells, block_distances
from vidattn.selection.transitions import Transition

# Frames around a transition that must have been looked at.
_AROUND = 2
# A packet that costs e^0.7, twice as much as the packets around it, may hold something new. Frames
# as near to it are looked at.
_LOUD, _NEAR_LOUD = 0.7, 4
# Where so many of the frames of a group are looked at, all are: a second look would cost more.
_MOST_OF_A_GROUP = 0.1


@dataclass(frozen=True)
class Glance:
    """Which frames of a video are looked at, and how to see others.

    Attributes:
        numbers: (n,) of the frames looked at, increasing; the first and the last frame of the video
            are among them.
        look_again: numbers of other frames, increasing -> uint8 (n, H, W, 3).
    """

    numbers: IntArray
    look_again: Callable[[IntArray], NDArray[np.uint8]]

    def among_those_looked_at(self, transitions: Sequence[Transition]) -> list[Transition]:
        """Transitions counted in the frames looked at, without shots that have none of these."""
        found: list[Transition] = []
        for each in transitions:
            last_old = int(np.searchsorted(self.numbers, each.last_old, side="right")) - 1
            first_new = int(np.searchsorted(self.numbers, each.first_new))
            if not found or found[-1].first_new <= last_old:
                found.append(each._replace(last_old=last_old, first_new=first_new))
        return found


def frames_to_look_at(
    evidence: NDArray[np.float64], intra: NDArray[np.bool_], may_be_left_out: NDArray[np.bool_]
) -> IntArray:
    """Frames that are looked at first: all but those of quiet stretches that may be left out.

    Args:
        evidence: (T,) how much each frame cost to encode, as `PacketEvidence.values`.
        intra: (T,) which frames are intra frames.
        may_be_left_out: (T,) which frames no other one references.

    Returns:
        Their numbers, increasing; the first and the last frame are among them.
    """
    count = len(evidence)
    loud = np.concatenate([[0], np.cumsum(evidence > _LOUD)])
    starts = (np.arange(count) - _NEAR_LOUD).clip(0)
    ends = (np.arange(count) + _NEAR_LOUD + 1).clip(max=count)
    kept = ~may_be_left_out | (loud[ends] > loud[starts])
    groups = np.cumsum(intra)
    could = np.bincount(groups, may_be_left_out)
    are = np.bincount(groups, may_be_left_out & kept)
    kept |= (are > _MOST_OF_A_GROUP * could)[groups]
    kept[[0, -1]] = True
    return np.flatnonzero(kept)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Neighbouring frames, some of which may be guesses.

    Attributes:
        cells: (T, H, W, 3).
        known: (T,) which of them were looked at.
    """

    cells: Cells
    known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cells)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several that follow each other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.cells for part in parts]),
            np.concatenate([part.known for part in parts]),
        )

    def part(self, start: int, end: int) -> Self:
        """A view of frames start … end − 1."""
        return type(self)(self.cells[start:end], self.known[start:end])

    def doubtful_gaps(self, least_step: float) -> IntArray:
        """Unknown frames between known ones so different that there may be a cut between them.

        Where they differ less than those before them and those behind them, something moves.
        """
        known = np.flatnonzero(self.known)
        steps = np.zeros(len(known) + 3, np.float32)  # 0: no step before the first and the last
        steps[2:-2] = np.abs(self.cells[known[1:]] - self.cells[known[:-1]]).mean(axis=(1, 2, 3))
        before, behind = np.maximum(steps[:-4], steps[1:-3]), np.maximum(steps[3:-1], steps[4:])
        # Blocks that may move are never further apart than blocks that may not.
        likely = steps[2:-2] > np.maximum(least_step, np.minimum(before, behind))
        gaps = np.flatnonzero(likely & (np.diff(known) > 1))
        far = block_distances(self.cells[known[gaps]], self.cells[known[gaps + 1]]) > least_step
        doubtful = np.zeros(len(self), np.bool_)
        for start, end in zip(known[gaps[far]] + 1, known[gaps[far] + 1], strict=True):
            doubtful[start:end] = True
        return np.flatnonzero(doubtful)

    def unknown_around(self, found: Sequence[Transition]) -> IntArray:
        """Unknown frames that transitions rest on."""
        near = np.zeros(len(self), np.bool_)
        for each in found:
            near[max(each.last_old - _AROUND, 0) : each.first_new + _AROUND + 1] = True
        return np.flatnonzero(near & ~self.known)

    def learn(self, places: IntArray, cells: Cells) -> None:
        """Replace guesses."""
        self.cells[places], self.known[places] = cells, True


def stretches(chunks: Iterator[Cells], glance: Glance | None) -> Iterator[Stretch]:
    """All frames of a video, with guesses for those that are left out.

    Raises:
        ArgumentError: there are not as many frames as numbers.
    """
    if glance is None:
        yield from (Stretch(cells, np.ones(len(cells), np.bool_)) for cells in chunks)
        return
    place, last = 0, None  # of the last frame seen
    for cells in chunks:
        seen = cells if last is None else np.concatenate([last, cells])
        numbers = glance.numbers[place : place + len(seen)]
        if len(numbers) < len(seen):
            break
        yield _filled(seen, numbers, 0 if last is None else int(numbers[0]) + 1)
        place, last = place + len(seen) - 1, cells[-1:]
    if last is None or place != len(glance.numbers) - 1:
        raise ArgumentError(f"frames: expected {len(glance.numbers)}, as many as numbers")


def _filled(seen: Cells, numbers: IntArray, first: int) -> Stretch:
    """Frames from `first` to the last number, from those with these numbers."""
    wanted = np.arange(first, numbers[-1] + 1)
    new = np.searchsorted(numbers, wanted)
    known = numbers[new] == wanted
    cells = seen[new]
    guessed = np.flatnonzero(~known)
    new = new[guessed]
    old = new - 1
    share = (numbers[new] - wanted[guessed]) / (numbers[new] - numbers[old])
    cells[guessed] += share[:, None, None, None].astype(np.float32) * (seen[old] - seen[new])
    return Stretch(cells, known)
