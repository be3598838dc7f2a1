"""What was picked, and frames for places that no candidate fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidattn.arrays import FloatArray
from vidattn.selection.candidates import FLAWS, Candidates


@dataclass(frozen=True, order=True)
class Pick:
    """A frame that was kept or dropped.

    Attributes:
        index: of the frame.
        shot: its number from 0; -1 between two shots.
        score: in [0, 1], how well it alone stands for the film.
        reason: why it was kept or dropped.
        flaw: what is wrong with it, one of `FLAWS`; "" if nothing.
    """

    index: int
    shot: int
    score: float
    reason: str
    flaw: str


@dataclass(frozen=True)
class Picks:
    """What was chosen.

    Attributes:
        kept, dropped: in time order; candidates stand for the frames around them.
        shot_count: shots of the film.
    """

    kept: tuple[Pick, ...]
    dropped: tuple[Pick, ...]
    shot_count: int


def filled_up(picks: Picks, candidates: Candidates, count: int, positions: FloatArray) -> Picks:
    """With frames that were no candidates, from the middle of the largest gaps."""
    kept = list(picks.kept)
    while len(kept) < count:
        chosen = np.array([each.index for each in kept], np.int64)
        flaws = candidates.all_flaws.astype(np.int64)
        flaws[chosen] = len(FLAWS)
        places = np.sort(positions[chosen])
        after = np.searchsorted(places, positions).clip(1, max(len(places) - 1, 1))
        around = np.stack([places[after - 1], places[np.minimum(after, len(places) - 1)]])
        away = np.abs(positions - around).min(axis=0)
        best = int(np.argmax(np.where(flaws == flaws.min(), away, -1)))
        kept.append(_other_frame(candidates, best, "fills the largest gap"))
    return _with(picks, kept)


def each_filled(
    picks: Picks, candidates: Candidates, length: float, positions: FloatArray
) -> Picks:
    """With the middle of each stretch that has no candidate."""
    numbers = ((positions - positions[0]) / length).astype(np.int64)
    missing = np.setdiff1d(numbers, numbers[[each.index for each in picks.kept]])
    kept = list(picks.kept)
    for number in missing:
        own = np.flatnonzero(numbers == number)
        own = own[candidates.all_flaws[own] == candidates.all_flaws[own].min()]
        kept.append(_other_frame(candidates, int(own[len(own) // 2]), "middle of its stretch"))
    return _with(picks, kept)


def _other_frame(candidates: Candidates, index: int, reason: str) -> Pick:
    flaw = FLAWS[candidates.all_flaws[index]]
    reason += f"; {flaw}, no better frame was left" if flaw else ""
    return Pick(index, int(candidates.all_shots[index]), 0.0, reason, flaw)


def _with(picks: Picks, kept: list[Pick]) -> Picks:
    indices = {each.index for each in kept}
    dropped = tuple(each for each in picks.dropped if each.index not in indices)
    return Picks(tuple(sorted(kept)), dropped, picks.shot_count)
