"""Which parts of a film make its summary: one pass over small pictures, without a network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn import selection
from vidattn.errors import ArgumentError
from vidattn.selection.sketch import Sketcher
from vidattn.selection.summaries import LONGEST_PART_SECONDS, choose_parts, shot_parts
from vidattn.threads import one_thread_for_numpy
from vidattn.video import VideoReader, open_video
from vidattn.video.excerpts import frame_edges
from vidattn.video.sources.addresses import AllowRemote, VideoLike

_SHORT_SIDE, _FRAMES_AT_ONCE = 64, 64
METHOD = "coverage: parts of shots whose frames alone stand best for the film, without a network"


@dataclass(frozen=True)
class SummaryPart:
    """A part of a film that its summary keeps.

    Attributes:
        start_frame, end_frame: it has the frames start_frame … end_frame − 1 of the film.
        start_seconds, end_seconds: on the film's own clock; the end is when the next frame begins.
        summary_seconds: when it begins in the summary.
        shot: from 1; a gradual transition belongs to none.
        score: mean over its frames, in [0, 1].
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
        scores: (T,) of every frame, in [0, 1].
        duration_seconds: of the film.
        budget_seconds: what was asked for.
        remarks: sentences on what is not as asked for.
    """

    video: str
    parts: tuple[SummaryPart, ...]
    scores: NDArray[np.float64]
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
            "method": METHOD,
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
    decoder: str = "pyav",
    salvage: bool = False,
    allow_remote: AllowRemote = (),
) -> Summary:
    """Choose the parts of a film of any length that make its summary, in bounded memory.

    Shots are divided into equal parts of at most 5 s, or of the budget where that is less; the
    knapsack of `selection.summaries.choose_parts` then takes parts by the mean coverage score of
    their frames.

    Args:
        video, allow_remote: see `vidattn.open_video`.
        budget: see `budget_seconds`.
        decoder: see `vidattn.open_video`.
        salvage: read a damaged film too. Damaged frames are used like others.

    Raises:
        ArgumentError: of the budget.
        VideoError: the film cannot be used.
    """
    budget_seconds(budget, 1.0)  # before the film is read
    opened = open_video(video, decoder, salvage=salvage, allow_remote=allow_remote)
    with opened as reader, one_thread_for_numpy():
        return choose_summary(reader, budget)


def choose_summary(reader: VideoReader, budget: str | float) -> Summary:
    """See `summarise`; the film is open already."""
    chunks = reader.chunks(frames_at_once=_FRAMES_AT_ONCE, short_side=_SHORT_SIDE)
    sketcher = Sketcher()
    found = list(selection.find_transitions(sketcher.watch(each.array for each in chunks)))
    edges = frame_edges(reader.frame_times)
    scores = selection.coverage_scores(sketcher.sketch(), positions=edges[:-1])
    length = float(edges[-1] - edges[0])
    wanted = budget_seconds(budget, length)
    pairs = [[each.last_old, each.first_new] for each in found]
    bounds = selection.shot_bounds(pairs, len(reader))
    whole = wanted >= length * (1 - 1e-9)
    if whole:  # also the frames of gradual transitions, which belong to no shot
        rows = np.array([[0, 0, len(reader)]])
    else:
        rows = shot_parts(bounds, edges, min(LONGEST_PART_SECONDS, wanted))
    means = np.array([scores[start:end].mean() for _, start, end in rows.tolist()])
    chosen = choose_parts(means, edges[rows[:, 2]] - edges[rows[:, 1]], wanted)
    remarks = []
    if not len(chosen):
        rows, means = _best_frame(rows, scores)
        chosen = np.array([0])
        remarks.append(f"the budget of {wanted:.3g} s is shorter than any frame: one is kept")
    if whole and wanted > length * (1 + 1e-9):
        remarks.append(f"the budget of {wanted:g} s is longer than the film: all of it is kept")
    reason = "the whole film fits into the budget" if whole else "high mean score for its length"
    parts, place = [], 0.0
    for number in chosen.tolist():
        shot, start, end = rows[number].tolist()
        first, behind = float(edges[start]), float(edges[end])
        parts.append(
            SummaryPart(start, end, first, behind, place, shot + 1, float(means[number]), reason)
        )
        place += behind - first
    return Summary(reader.path, tuple(parts), scores, length, wanted, tuple(remarks))


def _best_frame(
    rows: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The single frame that scores best, as a part of its own."""
    best = max(
        ((int(start + np.argmax(scores[start:end])), shot) for shot, start, end in rows.tolist()),
        key=lambda each: scores[each[0]],
    )
    return np.array([[best[1], best[0], best[0] + 1]]), scores[[best[0]]]
