"""Key frames of a film: spread over its shots and its time, like what they stand for, none poor.

Every shot gets a key frame before any gets a second one, and every equal stretch of the film before
another stretch gets a second one: that is what keeps them apart on films of repeated scenes. Among
the frames that may come next, the one is taken that stands best for what no key frame resembles yet
(Gygli et al., CVPR 2015; see `vidattn.selection.coverage`). `vidattn.selection.likeness` says how
much two frames differ. Frames with flaws come last.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import IntArray, at_least
from vidattn.errors import ArgumentError
from vidattn.selection.candidates import (
    BLURRED,
    FLAWS,
    NONE,
    Candidates,
    candidate_limit,
    find_candidates,
)
from vidattn.selection.differing import sharpness_weights
from vidattn.selection.gaps import Gaps
from vidattn.selection.likeness import compare
from vidattn.selection.picked import Pick, Picks, each_filled, filled_up
from vidattn.selection.sketch import Sketch
from vidattn.selection.transitions import Transition

BEST_OF_SHOT = "best of its shot"
_TIME_WEIGHT = 0.5  # of a distance of one stretch, beside the ordinary difference of two frames
_COPY_SHARE = 0.5  # of what a frame stands for that looks like one that is kept
_LEAST_GAIN = 0.01  # share of the film that one more frame stands for, where the number is open
_GAINS_AT_ONCE = 64


def pick_frames(
    sketch: Sketch,
    transitions: Iterable[Transition] = (),
    count: int | None = 8,
    *,
    per_shot: int | None = None,
    distinct: bool = False,
    minimum_gap: float = 0,
    margin: float = 0,
    stretch: float | None = None,
    lasting: float = 20,
    positions: ArrayLike | None = None,
) -> Picks:
    """Choose the key frames of a film.

    Args:
        sketch: of the whole film, as `sketch_frames` gives it.
        transitions: between its shots, in order.
        count: frames wanted, at least 1: never fewer unless the film has fewer, `per_shot` allows
            fewer, or `distinct` drops some. None: `per_shot` of each shot, one of each
            `stretch`, or else as many as the film needs, without near-copies.
        per_shot: most frames of one shot.
        distinct: frames that look like one that is kept are dropped.
        minimum_gap: frames closer than this suppress each other, if enough are left, but for the
            first frame of each shot.
        margin: frames so close to a cut come last; each shot keeps at least its middle.
        stretch: one frame of each stretch of this length instead.
        lasting: what stands still for so long, such as text, differs from what comes then.
        positions: (T,), not decreasing: where each frame lies, such as its seconds; None to count
            frames. The lengths above are in its units.
    """
    if sketch.measures is None:
        raise ArgumentError("sketch: expected one with the measures of every frame")
    for name, number in (("count", count), ("per_shot", per_shot)):
        if number is not None:
            at_least(name, number, 1)
    gaps = Gaps(sketch.frame_count, minimum_gap, positions)
    transitions = list(transitions)
    candidates = find_candidates(
        sketch,
        sketch.measures,
        transitions,
        gaps.positions,
        margin=margin,
        limit=candidate_limit(count or 0, len(transitions) + 1),
    )
    choice = _Choice(sketch, candidates, gaps, count, per_shot, distinct, lasting)
    if stretch is not None:
        choice.take_each(stretch)
    elif count is None and per_shot is None:
        choice.take_as_needed()
    else:
        choice.take(sketch.frame_count if count is None else min(count, sketch.frame_count))
    picks = choice.picks()
    if stretch is not None:
        return each_filled(picks, candidates, stretch, gaps.positions)
    if count is None or per_shot is not None or distinct:
        return picks
    return filled_up(picks, candidates, min(count, sketch.frame_count), gaps.positions)


class _Choice:
    """Chooses candidates one by one."""

    def __init__(
        self,
        sketch: Sketch,
        candidates: Candidates,
        gaps: Gaps,
        count: int | None,
        per_shot: int | None,
        distinct: bool,
        lasting: float,
    ) -> None:
        self._frames, self._gaps, self._per_shot = candidates, gaps, per_shot
        # Then worse frames are no better than none.
        self._may_be_fewer = distinct or count is None
        self._distinct = distinct or (count is None and per_shot is None)
        self._places = gaps.positions[candidates.indices] - gaps.positions[0]
        likeness = compare(sketch, candidates, gaps, lasting)
        self._squares, self._copies, self._states = likeness
        # How much each candidate, by column, shows of what each one stands for, by row.
        self._represents = alike = likeness.alike()
        shown = candidates.shown * (candidates.flaws == candidates.flaws.min())
        self._total = float(shown.sum())
        alike *= sharpness_weights(candidates).astype(np.float32)
        alike *= shown[:, None]
        self.scores = alike.sum(axis=0, dtype=np.float64) / self._total
        self._stretches = count or (per_shot or 1) * candidates.shot_count
        if count is not None or per_shot is not None:
            places = (self._places * self._stretches / gaps.length).astype(np.float32)
            for row, place in zip(alike, places, strict=True):
                row *= np.exp(np.float32(-_TIME_WEIGHT) * np.minimum((places - place) ** 2, 9))
        # Gains only fall while key frames are added: what they were is the most they can be.
        self._most_gains = np.full(len(candidates.indices), np.inf, np.float32)
        self._covered = np.zeros(len(candidates.indices), np.float32)
        self._in_shot = np.zeros(candidates.shot_count + 1, np.int64)
        self._blocked = gaps.blocked_by([])
        self._copied = np.zeros(len(candidates.indices), np.bool_)
        self._open = np.ones(len(candidates.indices), np.bool_)
        self.kept: dict[int, str] = {}

    def take(self, count: int) -> None:
        """Candidates by their flaws, then new shots, then by the gap, then by stretch."""
        for level in range(int(self._frames.flaws.max()) + 1):
            if self._may_be_fewer and self.kept and level > BLURRED:
                return
            while len(self.kept) < count:
                free = self._free(level)
                if not free.any():
                    break
                near = self._not_too_close(free)
                if not near.any():
                    self._gaps.shrink()
                    self._blocked = self._gaps.blocked_by(self._frames.indices[list(self.kept)])
                    continue
                self._keep(*self._preferred(near))

    def _not_too_close(self, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Those that keep the gap; of shots that have none and are too short for it, any."""
        allowed = free & ~self._blocked[self._frames.indices]
        new = free & (self._in_shot[self._frames.shots] == 0) & (self._frames.shots >= 0)
        if not new.any() or (allowed & new).any() or not self.kept:
            return allowed
        away = np.abs(self._places[:, None] - self._places[list(self.kept)]).min(axis=1)
        return new & (away >= away[new].max() / 2)

    def take_each(self, length: float) -> None:
        """The candidate with the least flaw, and of these the best, of each stretch."""
        numbers = (self._places / length).astype(np.int64)
        for number in np.unique(numbers):
            own = (numbers == number) & self._free(len(FLAWS))
            if own.any():
                own &= self._frames.flaws == self._frames.flaws[own].min()
                self._keep(self._best(own), "best of its stretch of time")

    def take_as_needed(self) -> None:
        """One of each shot, then more while they stand for enough; no near-copies."""
        least = int(self._frames.flaws.min())
        while (free := self._free(least)).any():
            new = free & (self._in_shot[self._frames.shots] == 0)
            best = self._best(new if new.any() else free)
            seen = self._states[list(self.kept)]
            lasting = free & (self._states >= 0) & ~np.isin(self._states, seen)
            if new.any():
                self._keep(best, BEST_OF_SHOT)
            elif self._gains()[best] >= _LEAST_GAIN * self._total:
                self._keep(best, "shows what no other shows")
            elif lasting.any():
                self._keep(self._best(lasting), "shows a detail that lasts and no other shows")
            else:
                break

    def _free(self, level: int) -> NDArray[np.bool_]:
        free = self._open & (self._frames.flaws <= level)
        if self._per_shot is not None:
            free &= (self._in_shot[self._frames.shots] < self._per_shot) & (self._frames.shots >= 0)
        return free

    def _preferred(self, free: NDArray[np.bool_]) -> tuple[int, str]:
        """The next of some candidates, and why."""
        counts = self._in_shot[self._frames.shots]
        new = free & (counts == 0) & (self._frames.shots >= 0)
        stretches = self._stretches
        empty = free & self._in_empty_stretch(stretches)
        if (new & empty).any() or new.any():
            return self._best(new & empty if (new & empty).any() else new), BEST_OF_SHOT
        if self._per_shot is not None:
            free = free & (counts == counts[free].min())
            empty &= free
        while not empty.any() and stretches < len(self._places):
            stretches *= 2
            empty = free & self._in_empty_stretch(stretches)
        if empty.any():
            return self._best(empty), "best of a stretch that had none"
        return self._best(free), "best of what was left"

    def _in_empty_stretch(self, stretches: int) -> NDArray[np.bool_]:
        numbers = np.minimum((self._places * stretches / self._gaps.length), stretches - 1)
        numbers = numbers.astype(np.int64)
        used = np.zeros(stretches, np.bool_)
        used[numbers[list(self.kept)]] = True
        return ~used[numbers]

    def _gains(self) -> NDArray[np.float32]:
        return np.maximum(self._represents - self._covered[:, None], 0).sum(axis=0)

    def _gains_that_may_be_best(self, columns: IntArray) -> NDArray[np.float32]:
        """The gains of some candidates; of those that cannot be best, less than the best one.

        Films show things twice: where another frame stands for the second time, it is better.
        """
        shares = np.where(self._copied, np.float32(_COPY_SHARE), np.float32(1))
        order = columns[np.argsort(-(self._most_gains * shares)[columns], kind="stable")]
        best = np.float32(-1)
        for place in range(0, len(order), _GAINS_AT_ONCE):
            few = order[place : place + _GAINS_AT_ONCE]
            if self._most_gains[few[0]] * shares[few[0]] < best:
                break
            gains = np.maximum(self._represents[:, few] - self._covered[:, None], 0).sum(axis=0)
            self._most_gains[few] = gains
            best = max(best, (gains * shares[few]).max())
        return np.asarray((self._most_gains * shares)[columns])

    def _best(self, free: NDArray[np.bool_]) -> int:
        columns = np.flatnonzero(free)
        gains = self._gains_that_may_be_best(columns)
        if gains.max() < 1e-6 * self._total and self.kept:
            # All is stood for: the one that is furthest from the others.
            away = np.abs(self._places[columns][:, None] - self._places[list(self.kept)])
            return int(columns[np.argmax(away.min(axis=1))])
        return int(columns[np.argmax(gains)])

    def _keep(self, best: int, why: str) -> None:
        self.kept[best] = why
        self._open[best] = False
        self._in_shot[self._frames.shots[best]] += 1
        self._covered = np.maximum(self._covered, self._represents[:, best])
        self._gaps.block(self._blocked, int(self._frames.indices[best]))
        self._copied |= self._copies[:, best]
        if self._distinct:
            self._open &= ~self._copies[:, best]

    def picks(self) -> Picks:
        """What is kept and dropped, with reasons."""
        kept = [self._pick(place, self.kept[place]) for place in sorted(self.kept)]
        dropped = [
            self._pick(place, self._why_dropped(place))
            for place in range(len(self._places))
            if place not in self.kept
        ]
        return Picks(tuple(kept), tuple(dropped), self._frames.shot_count)

    def _pick(self, place: int, reason: str) -> Pick:
        frames, flaw = self._frames, FLAWS[self._frames.flaws[place]]
        if place in self.kept and flaw:
            reason = f"{reason}; {flaw}, no better frame was left"
        return Pick(
            int(frames.indices[place]),
            int(frames.shots[place]),
            float(self.scores[place]),
            reason,
            flaw,
        )

    def _why_dropped(self, place: int) -> str:
        if self._frames.flaws[place] != NONE:
            return FLAWS[self._frames.flaws[place]]
        kept = np.array(list(self.kept), np.int64)
        if not len(kept):
            return "not needed"
        nearest = int(kept[np.argmin(self._squares[place, kept])])
        if self._copies[place, nearest]:
            return f"looks like frame {self._frames.indices[nearest]}"
        if self._blocked[self._frames.indices[place]]:
            closest = int(kept[np.argmin(np.abs(self._places[kept] - self._places[place]))])
            return f"too close to frame {self._frames.indices[closest]}"
        return f"frame {self._frames.indices[nearest]} stands for it"
