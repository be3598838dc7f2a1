"""Which parts of a film make its summary: one pass over small pictures, without a network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn import selection
from vidattn.errors import ArgumentError
from vidattn.inference.scorers.scorer import Scorer, score_frames, score_name
from vidattn.selection.part_coverage import cover_by_parts
from vidattn.selection.sketch import Sketch, Sketcher
from vidattn.selection.summaries import (
    LONGEST_PART_SECONDS,
    choose_parts,
    shot_parts,
    spread_parts,
)
from vidattn.threads import one_thread_for_numpy
from vidattn.video import VideoReader, open_video
from vidattn.video.excerpts import frame_edges
from vidattn.video.sources.addresses import AllowRemote, VideoLike

_SHORT_SIDE, _FRAMES_AT_ONCE = 64, 64
_ADDS = "adds most for its length to the parts that stand for the film"
METHOD = "coverage: parts of shots that together stand best for the film, without a network"


@dataclass(frozen=True)
class SummaryPart:
    """A part of a film that its summary keeps.

    Attributes:
        start_frame, end_frame: it has the frames start_frame … end_frame − 1 of the film.
        start_seconds, end_seconds: on the film's own clock; the end is when the next frame begins.
        summary_seconds: when it begins in the summary.
        shot: from 1; a gradual transition belongs to none.
        score: in [0, 1]. Without a scorer: the share of the film that it stands for, and no part
            that was taken before it. With one: the mean rank of its frames among all.
        reason: why it was kept.
    """

    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    summary_seconds: float
    shot: int
    score: float
    reason: str


@dataclass(frozen=True, eq=False)
class Summary:
    """The summary of one film.

    Attributes:
        video: as it was given.
        parts: in time order, at least one.
        scores: (T,) of every frame: of the scorer, or else how well each alone stands for the film.
        method: in words, beginning with the name of the score.
        duration_seconds: of the film.
        budget_seconds: what was asked for.
        remarks: sentences on what is not as asked for.
    """

    video: str
    parts: tuple[SummaryPart, ...]
    scores: NDArray[np.float64]
    method: str
    duration_seconds: float
    budget_seconds: float
    remarks: tuple[str, ...]

    @property
    def summary_seconds(self) -> float:
        """How long the summary is."""
        return sum(each.end_seconds - each.start_seconds for each in self.parts)

    @property
    def frames_kept(self) -> NDArray[np.bool_]:
        """(T,): which frames of the film the summary has."""
        kept = np.zeros(len(self.scores), np.bool_)
        for each in self.parts:
            kept[each.start_frame : each.end_frame] = True
        return kept

    def in_words(self) -> str:
        """How much is kept."""
        return (
            f"{len(self.parts)} parts, {self.summary_seconds:.1f} of {self.duration_seconds:.1f} s"
        )

    def to_json(self) -> dict[str, Any]:
        """What `summaries.json` holds of one video."""
        return {
            "video": self.video,
            "frames": len(self.scores),
            "duration_seconds": self.duration_seconds,
            "budget_seconds": self.budget_seconds,
            "summary_seconds": self.summary_seconds,
            "method": self.method,
            "parts": [asdict(each) for each in self.parts],
            "remarks": list(self.remarks),
        }


def budget_seconds(budget: str | float, duration_seconds: float) -> float:
    """Seconds of a summary, from "15%", "60s" or a number of seconds.

    Raises:
        ArgumentError: it is none of these, or not above 0, or above 100 %.

    >>> budget_seconds("15%", 200), budget_seconds("60s", 200), budget_seconds(12, 200)
    (30.0, 60.0, 12.0)
    """
    text = str(budget).strip()
    wrong = ArgumentError(
        f"budget: expected a share of the film such as 15%, or seconds such as 60s, got {budget!r}"
    )
    try:
        number = float(text.removesuffix("%").removesuffix("s"))
    except ValueError:
        raise wrong from None
    if not 0 < number < math.inf or (text.endswith("%") and number > 100):
        raise wrong
    return duration_seconds * number / 100 if text.endswith("%") else number


def summarise(
    video: VideoLike,
    budget: str | float = "15%",
    *,
    scorer: Scorer | None = None,
    decoder: str = "pyav",
    salvage: bool = False,
    allow_remote: AllowRemote = (),
) -> Summary:
    """Choose the parts of a film that make its summary, in bounded memory.

    Without a scorer, the parts together stand for as much of the film as the budget allows (see
    `vidattn.selection.part_coverage`). With one, the parts of the highest scores are kept (see
    `vidattn.selection.summaries.choose_parts`); a part counts with the mean rank of its frames.

    Args:
        video: see `vidattn.open_video`.
        budget: see `budget_seconds`.
        scorer: says how much each frame is worth; see `vidattn.extract_keyframes`.
        decoder, allow_remote: see `vidattn.open_video`.
        salvage: read a damaged film too. Damaged frames are used like others.

    Raises:
        ArgumentError: of the budget, or the scorer returned other than a number for each frame.
        VideoError: the film cannot be used.
    """
    budget_seconds(budget, 1.0)  # before the film is read
    opened = open_video(video, decoder, salvage=salvage, allow_remote=allow_remote)
    with opened as reader, one_thread_for_numpy():
        return choose_summary(reader, budget, scorer)


def choose_summary(
    reader: VideoReader, budget: str | float, scorer: Scorer | None = None
) -> Summary:
    """See `summarise`; the film is open already."""
    chunks = reader.chunks(frames_at_once=_FRAMES_AT_ONCE, short_side=_SHORT_SIDE)
    sketcher = Sketcher()
    found = list(selection.find_transitions(sketcher.watch(each.array for each in chunks)))
    edges = frame_edges(reader.frame_times)
    length = float(edges[-1] - edges[0])
    wanted = budget_seconds(budget, length)
    pairs = [[each.last_old, each.first_new] for each in found]
    bounds = selection.shot_bounds(pairs, len(reader))
    if wanted >= length * (1 - 1e-9):  # also the frames of gradual transitions, which have no shot
        rows = np.array([[0, 0, len(reader)]])
    else:
        rows = shot_parts(bounds, edges, min(LONGEST_PART_SECONDS, wanted))
    film = _Film(reader, sketcher.sketch(), edges, rows)
    choice = film.by_coverage(wanted) if scorer is None else film.by_scores(wanted, scorer)
    remarks = []
    if not len(choice.numbers):
        rows, choice = film.best_frame(choice)
        remarks.append(f"the budget of {wanted:.3g} s is shorter than any frame: one is kept")
    if wanted > length * (1 + 1e-9):
        remarks.append(f"the budget of {wanted:g} s is longer than the film: all of it is kept")
    parts, place = [], 0.0
    for number, score in zip(choice.numbers.tolist(), choice.worth.tolist(), strict=True):
        shot, start, end = rows[number].tolist()
        first, behind = float(edges[start]), float(edges[end])
        parts.append(SummaryPart(start, end, first, behind, place, shot + 1, score, choice.reason))
        place += behind - first
    return Summary(
        reader.path, tuple(parts), choice.scores, choice.method, length, wanted, tuple(remarks)
    )


@dataclass(frozen=True, eq=False)
class _Choice:
    """Numbers of the parts that are kept, what each is worth, and the scores of all frames."""

    numbers: NDArray[np.int64]
    worth: NDArray[np.float64]
    scores: NDArray[np.float64]
    method: str
    reason: str


@dataclass(frozen=True, eq=False)
class _Film:
    """A film that was looked at, and the parts (P, 3) of it that may be kept."""

    reader: VideoReader
    sketch: Sketch
    edges: NDArray[np.float64]
    rows: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.float64]:
        """(P,) seconds."""
        return self.edges[self.rows[:, 2]] - self.edges[self.rows[:, 1]]

    def by_coverage(self, budget: float) -> _Choice:
        positions = self.edges[:-1]
        scores = selection.coverage_scores(self.sketch, positions=positions)
        numbers, worth = cover_by_parts(
            self.sketch, self.rows[:, 1:], self.lengths, budget, positions=positions
        )
        return _Choice(
            numbers, worth, scores, METHOD, self._reason("stands for what others do not")
        )

    def by_scores(self, budget: float, scorer: Scorer) -> _Choice:
        scores, _ = score_frames(scorer, self.reader)
        ranks = _ranks(scores)
        means = np.array([ranks[start:end].mean() for _, start, end in self.rows.tolist()])
        method = getattr(scorer, "method", score_name(scorer))
        if np.ptp(scores) == 0:
            numbers = spread_parts(self.lengths, budget)
            reason = self._reason("spread evenly, as all scores are equal")
        else:
            numbers = choose_parts(means, self.lengths, budget)
            reason = self._reason("high scores for its length")
        return _Choice(numbers, means[numbers], scores, method, reason)

    def best_frame(self, choice: _Choice) -> tuple[NDArray[np.int64], _Choice]:
        """The single frame that scores best, as a part of its own."""
        best = max(
            ((int(start + np.argmax(choice.scores[start:end])), shot)
             for shot, start, end in self.rows.tolist()),
            key=lambda each: choice.scores[each[0]],
        )  # fmt: skip
        alone = np.array([[best[1], best[0], best[0] + 1]])
        return alone, replace(choice, numbers=np.array([0]), worth=np.ones(1))

    def _reason(self, usual: str) -> str:
        whole = len(self.rows) == 1 and self.rows[0, 2] == len(self.reader)
        return "the whole film fits into the budget" if whole else usual


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) in (0, 1): the share of the frames that score less; equal scores have equal ranks."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    behind = np.cumsum(counts)
    ranks: NDArray[np.float64] = ((behind - counts / 2) / len(scores))[places]
    return ranks
