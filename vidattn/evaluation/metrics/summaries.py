"""Video summaries against those of people: which frames, and how alike the rankings are.

Everything here takes one video. A summary is (T,) bool, a frame in or out.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, IntArray, at_least, finite_array, index_array
from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics.rank_correlation import kendall_correlations, spearman_correlations
from vidattn.selection.knapsack import knapsack

BoolArray = NDArray[np.bool_]
Convention = Literal["pgl-sum", "dsnet", "vsumm-reinforce"]
CONVENTIONS: tuple[Convention, ...] = ("pgl-sum", "dsnet", "vsumm-reinforce")


def frame_scores(scores: ArrayLike, picks: ArrayLike, frame_count: int) -> NDArray[np.float32]:
    """Scores of sampled frames -> one for each frame: held up to the next sampled one.

    Frames before the first pick, and those from the last one on if it has no score, get 0.

    Args:
        scores: (P,), or up to one fewer: the last frame may go without.
        picks: (P,) frame numbers, strictly increasing.
        frame_count: T.

    Returns:
        (T,) float32.

    >>> frame_scores([1, 2], [0, 3], 5).tolist()
    [1.0, 1.0, 1.0, 2.0, 2.0]
    """
    places = index_array("picks", picks, (None,))
    if (np.diff(places) <= 0).any():
        raise ArgumentError("picks: expected strictly increasing frame numbers")
    values = finite_array("scores", scores, (None,))
    if not len(places) or len(values) not in (len(places) - 1, len(places)):
        raise ArgumentError(
            f"scores: expected one for each of {len(places)} picks, got {len(values)}"
        )
    held = np.zeros(at_least("frame_count", frame_count, 1), dtype=np.float32)
    edges = np.minimum(np.append(places, frame_count), frame_count)
    lengths = np.diff(edges)[: len(values)]
    held[edges[0] : edges[len(values)]] = np.repeat(values.astype(np.float32), lengths)
    return held


def shot_scores(scores: NDArray[np.float32], shots: ArrayLike) -> FloatArray:
    """Mean score of each shot, rounded to float32 as NumPy's mean of float32 numbers is.

    Args:
        scores: (T,) float32.
        shots: (S, 2) first and last frame; frames from T on have no score and do not count.
    """
    spans = shot_array(shots)
    if len(spans) and spans[-1, 0] >= len(scores):
        raise ArgumentError(
            f"shots: expected shots that begin before frame {len(scores)}, got {spans[-1].tolist()}"
        )
    return np.array([scores[first : last + 1].mean() for first, last in spans], dtype=np.float64)


def key_shot_summary(
    scores: ArrayLike,
    *,
    picks: ArrayLike,
    shots: ArrayLike,
    frame_count: int,
    convention: Convention = "pgl-sum",
    shot_lengths: ArrayLike | None = None,
    budget: float = 0.15,
) -> BoolArray:
    """The shots of the highest total score that fit into a share of the video.

    - "pgl-sum" (PGL-SUM, CA-SUM): budget of the frames up to the end of the last shot, rounded
      down; mean scores as they are; the summary ends with the last shot.
    - "dsnet": budget of all frames, rounded down; thousandths of mean scores, rounded down.
    - "vsumm-reinforce": budget of all frames, rounded down; a float32 table; shots are laid
      end to end with the lengths given.

    Args:
        scores: (P,) at the sampled frames, at least 0.
        picks: (P,) the frame of each score.
        shots: (S, 2) first and last frame, in time order.
        frame_count: T.
        shot_lengths: (S,), for "dsnet" and "vsumm-reinforce"; by default last − first + 1.
        budget: share of the video, in (0, 1).

    Returns:
        (T,) bool; of another length where the shots end elsewhere ("pgl-sum" and
        "vsumm-reinforce").

    >>> key_shot_summary([0, 1, 0], picks=[0, 2, 4], shots=[[0, 1], [2, 3], [4, 5]],
    ...     frame_count=6, budget=0.4).tolist()
    [False, False, True, True, False, False]
    """
    spans = shot_array(shots)
    if not len(spans) or not 0 < budget < 1:
        raise ArgumentError(f"expected shots and a budget in (0, 1), got {len(spans)}, {budget}")
    finite_array("scores", scores, (None,), minimum=0)
    means = shot_scores(frame_scores(scores, picks, frame_count), spans)
    lengths = spans[:, 1] - spans[:, 0] + 1
    given = (
        lengths
        if shot_lengths is None
        else index_array("shot_lengths", shot_lengths, (len(spans),))
    )
    if convention == "pgl-sum":
        end = int(spans[-1, 1]) + 1
        chosen = knapsack(means, lengths, int(end * budget))
        return _covered(spans[chosen], end)
    if convention == "dsnet":
        worth = np.trunc(1000 * means)
        chosen = knapsack(worth, given, int(frame_count * budget), arithmetic="int64")
        return _covered(spans[chosen], frame_count)
    if convention == "vsumm-reinforce":
        chosen = knapsack(means, given, int(frame_count * budget), arithmetic="float32")
        taken = np.zeros(len(spans), dtype=bool)
        taken[chosen] = True
        return np.repeat(taken, given)
    raise ArgumentError(f"convention: expected one of {', '.join(CONVENTIONS)}, got {convention!r}")


def summary_f1(
    summary: ArrayLike, references: ArrayLike, *, convention: Convention = "pgl-sum"
) -> FloatArray:
    """F1 of a summary against each of several people's.

    What is shorter is filled up with frames that are out; "dsnet" and "vsumm-reinforce" cut off
    a summary that is longer than the references. "vsumm-reinforce" adds 1e-8 to the lengths
    that precision and recall are divided by. Without a common frame it is 0.

    Args:
        summary: (T',) 0 or 1.
        references: (U, T), a number above 0 for frames that are in.

    Returns:
        (U,), in [0, 1]. TVSum takes their mean, SumMe their maximum.

    >>> summary_f1([1, 1, 0, 0], [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]).tolist()
    [1.0, 0.5, 0.0]
    """
    people = np.asarray(references) > 0
    if people.ndim != 2 or not people.size:
        raise ArgumentError(f"references: expected shape (users, frames), got {people.shape}")
    ours = np.asarray(summary) > 0
    if ours.ndim != 1:
        raise ArgumentError(f"summary: expected one number a frame, got shape {ours.shape}")
    if convention != "pgl-sum":
        ours = ours[: people.shape[1]]
    common = min(len(ours), people.shape[1])
    shared = (people[:, :common] @ ours[:common].astype(np.float64)).astype(np.float64)
    extra = 1e-8 if convention == "vsumm-reinforce" else 0.0
    lengths = people.sum(axis=1) + extra
    found = np.zeros(len(people))
    some = shared > 0
    precision = shared[some] / (ours.sum() + extra)
    recall = shared[some] / lengths[some]
    found[some] = 2 * precision * recall / (precision + recall)
    return found


def people_f1(references: ArrayLike) -> FloatArray:
    """F1 of each person's summary against each other person's: (U, U), NaN on the diagonal.

    The mean over all pairs, and the mean over people of their highest, is how well people do.

    >>> float(people_f1([[1, 1, 0], [0, 1, 1]])[0, 1])
    0.5
    """
    people = (np.asarray(references) > 0).astype(np.float64)
    shared = people @ people.T
    lengths = people.sum(axis=1)
    totals = lengths[:, None] + lengths
    found = np.zeros(shared.shape)
    np.divide(2 * shared, totals, out=found, where=totals > 0)
    np.fill_diagonal(found, np.nan)
    return found


def importance_correlations(scores: ArrayLike, importances: ArrayLike) -> tuple[float, float]:
    """Kendall's τ and Spearman's ρ with the importances that people gave, mean over people.

    Args:
        scores: (N,).
        importances: (U, N), at the same frames: for TVSum every 15th.

    Returns:
        τ, ρ; NaN where the scores, or those of one person, are all equal.

    Source: Otani et al., "Rethinking the Evaluation of Video Summaries" (CVPR 2019).
    """
    values = finite_array("scores", scores, (None,))
    people = finite_array("importances", importances, (None, len(values)))
    kendall = kendall_correlations(values, people)
    return float(kendall.mean()), float(spearman_correlations(values, people).mean())


def people_correlations(importances: ArrayLike) -> tuple[float, float]:
    """`importance_correlations` of each person with all others, mean over people."""
    people = finite_array("importances", importances, (None, None))
    found = [
        importance_correlations(people[number], np.delete(people, number, axis=0))
        for number in range(len(people))
    ]
    return float(np.mean([tau for tau, _ in found])), float(np.mean([rho for _, rho in found]))


def cronbach_alpha(importances: ArrayLike) -> float:
    """How consistently people rate: k / (k − 1) · (1 − Σ variances of each / variance of sums).

    Args:
        importances: (U, N), U ≥ 2.

    Source: Cronbach, "Coefficient alpha and the internal structure of tests" (1951).

    >>> cronbach_alpha([[1, 2, 3], [1, 2, 3]])
    1.0
    """
    people = finite_array("importances", importances, (None, None))
    if len(people) < 2 or people.sum(axis=0).var() == 0:
        raise ArgumentError("importances: expected at least two people whose sums differ")
    share = people.var(axis=1, ddof=1).sum() / people.sum(axis=0).var(ddof=1)
    return float(len(people) / (len(people) - 1) * (1 - share))


def uniform_summary(frame_count: int, stretches: int, *, budget: float = 0.15) -> BoolArray:
    """The middle of each of several equal stretches of a video, within the budget: (T,) bool.

    >>> uniform_summary(10, 2, budget=0.4).astype(int).tolist()
    [0, 1, 1, 0, 0, 0, 1, 1, 0, 0]
    """
    count = min(at_least("stretches", stretches, 1), at_least("frame_count", frame_count, 1))
    allowed = int(frame_count * budget)
    starts = np.arange(count) * frame_count // count
    ends = (np.arange(count) + 1) * frame_count // count
    lengths = (np.arange(count) + 1) * allowed // count - np.arange(count) * allowed // count
    firsts = (starts + ends - lengths) // 2
    marks = np.zeros(frame_count + 1, dtype=np.int64)
    np.add.at(marks, firsts, 1)
    np.add.at(marks, firsts + lengths, -1)
    return np.cumsum(marks[:-1]) > 0


def shot_array(shots: ArrayLike) -> IntArray:
    """Shots, checked: (S, 2) first and last frame, in time order, none overlapping.

    Raises:
        ArgumentError: they are not so.
    """
    spans = index_array("shots", shots, (None, 2))
    if (spans[:, 0] > spans[:, 1]).any() or (spans[1:, 0] <= spans[:-1, 1]).any():
        raise ArgumentError("shots: expected (first, last frame) in time order, none overlapping")
    return spans


def _covered(spans: IntArray, frame_count: int) -> BoolArray:
    marks = np.zeros(max(frame_count, int(spans.max(initial=-1)) + 1) + 1, dtype=np.int64)
    np.add.at(marks, spans[:, 0], 1)
    np.add.at(marks, spans[:, 1] + 1, -1)
    return np.cumsum(marks)[:frame_count] > 0
