from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics import shots
from vidattn.evaluation.scoring import score

FLAGS = st.lists(st.integers(0, 1), min_size=1, max_size=40)
CUTS = st.lists(st.integers(1, 60), max_size=15)


def looped_transitions(flags: list[int]) -> list[list[int]]:
    found, start = [], None
    for frame in range(1, len(flags)):
        if flags[frame] and not flags[frame - 1]:
            start = frame
        if not flags[frame] and flags[frame - 1] and start is not None:
            found.append([start, frame])
            start = None
    return found


def looped_overlaps(
    predicted: list[list[int]], truth: list[list[int]], tolerance: int
) -> shots.BoundaryCounts:
    shift = tolerance / 2 - 0.5
    ours = [(first - shift, last + shift) for first, last in predicted]
    theirs = [(first - shift, last + shift) for first, last in truth]
    hits = 0
    while ours and theirs:
        if ours[0][1] < theirs[0][0]:
            ours.pop(0)
        elif theirs[0][1] < ours[0][0]:
            theirs.pop(0)
        else:
            ours.pop(0)
            theirs.pop(0)
            hits += 1
    return shots.BoundaryCounts(hits, len(predicted) - hits, len(truth) - hits)


def looped_nearest(predicted: list[int], truth: list[int], tolerance: int) -> tuple[int, int]:
    free, open_ = set(range(len(predicted))), set(range(len(truth)))
    hits = total = 0
    for distance in range(tolerance + 1):
        for i, j in product(range(len(predicted)), range(len(truth))):
            if i in free and j in open_ and abs(predicted[i] - truth[j]) == distance:
                free.discard(i)
                open_.discard(j)
                hits, total = hits + 1, total + distance
    return hits, total


@settings(deadline=None)
@given(FLAGS)
def test_transitions_are_those_of_a_loop(flags: list[int]) -> None:
    assert shots.transitions_from_scores(flags, 0.5).tolist() == looped_transitions(flags)


@settings(deadline=None)
@given(FLAGS, FLAGS, st.integers(0, 6))
def test_overlaps_are_those_of_a_loop(ours: list[int], theirs: list[int], tolerance: int) -> None:
    pair = [shots.transitions_from_scores(flags, 0.5) for flags in (ours, theirs)]
    found = shots.overlapping_transitions(*pair, tolerance_frames=tolerance)
    assert found == looped_overlaps(*(array.tolist() for array in pair), tolerance)


@settings(deadline=None)
@given(CUTS, CUTS, st.integers(0, 4))
def test_nearest_cuts_are_those_of_a_loop(
    ours: list[int], theirs: list[int], tolerance: int
) -> None:
    found = shots.nearest_cuts(ours, theirs, tolerance_frames=tolerance)
    hits, total = looped_nearest(ours, theirs, tolerance)
    counts = shots.BoundaryCounts(hits, len(ours) - hits, len(theirs) - hits)
    assert found == shots.CutMatches(counts, total)


def test_the_tolerance_is_that_of_the_source() -> None:
    # A hard cut after frame 5; predicted 0, 1, 2 and 3 frames early.
    for early, hit in [(0, 0), (1, 1), (2, 2), (3, 3)]:
        for tolerance in range(4):
            found = shots.overlapping_transitions(
                [[5 - early, 6 - early]], [[5, 6]], tolerance_frames=tolerance
            )
            assert found.matched == (tolerance >= hit)


def test_a_cut_inside_a_gradual_transition_finds_it_once() -> None:
    counts, inside = shots.cuts_in_spans([3, 7, 7, 30], [[5, 8], [5, 8], [29, 31]])
    assert counts == shots.BoundaryCounts(2, 1, 1)
    assert inside.tolist() == [False, True, True, True]


def test_nothing_against_nothing_is_zero() -> None:
    counts = shots.overlapping_transitions([], [])
    assert (counts.precision, counts.recall, counts.f1) == (0, 0, 0)
    assert shots.cuts_in_spans([], [])[0] == shots.BoundaryCounts(0, 0, 0)


def test_autoshot_has_the_published_figures(shared_data: Path) -> None:
    path = shared_data / "shots/autoshot.npz"
    figures = score("shots", path, path, threshold=0.296).figures
    assert figures["precision"] == pytest.approx(0.8473344103, abs=5e-11)
    assert figures["recall"] == pytest.approx(0.8338632750, abs=5e-11)
    assert figures["F1"] == pytest.approx(0.8405448718, abs=5e-11)


@pytest.mark.parametrize("protocol", ["transnet", "pyscenedetect"])
def test_clipshots_labels_can_be_scored(protocol: str, shared_data: Path) -> None:
    path = shared_data / "shots/clipshots_test.json"
    found = score("shots", path, path, protocol=protocol)
    total = found.counts["matched"] + found.counts["missed"]
    total += found.counts.get("gradual_matched", 0) + found.counts.get("gradual_missed", 0)
    assert total == 7204
    assert "5 transitions that do not end after their start" in found.notes[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: shots.overlapping_transitions([[5, 5]], []),
        lambda: shots.overlapping_transitions([[5, 6], [1, 2]], []),
        lambda: shots.nearest_cuts([1.5], [1]),
        lambda: shots.nearest_cuts([1], [1], tolerance_frames=-1),
        lambda: shots.transitions_from_scores([], 0.5),
        lambda: shots.transitions_from_scores([np.nan], 0.5),
        lambda: shots.transitions_from_shots([[0, 5], [5, 9]]),
    ],
)
def test_wrong_boundaries_are_refused(call: object) -> None:
    with pytest.raises(ArgumentError):
        call()  # type: ignore[operator]
