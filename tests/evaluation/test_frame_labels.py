from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics import frame_labels
from vidattn.evaluation.scoring import score

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=40)

# Mean over sequences, then over splits; background class 0 does not count.
PUBLISHED = {
    "ED-TCN_L2_C15": [64.7, 59.8, 68.0, 63.9, 52.6],
    "tCNN_C36": [59.5, 46.0, 55.9, 49.6, 37.1],
    "DilatedTCN_B3_L5": [59.3, 43.1, 52.2, 47.6, 37.4],
}


def table_distance(first: list[int], second: list[int]) -> int:
    table = [[row + column for column in range(len(second) + 1)] for row in range(len(first) + 1)]
    for row, ours in enumerate(first, start=1):
        for column, theirs in enumerate(second, start=1):
            table[row][column] = min(
                table[row - 1][column] + 1,
                table[row][column - 1] + 1,
                table[row - 1][column - 1] + (ours != theirs),
            )
    return table[-1][-1]


def looped_segments(labels: list[int], background: int) -> list[tuple[int, int, int]]:
    found, start = [], 0
    for place in range(1, len(labels) + 1):
        if place == len(labels) or labels[place] != labels[start]:
            if labels[start] != background:
                found.append((labels[start], start, place))
            start = place
    return found


def looped_counts(
    predicted: list[int], truth: list[int], overlap: float
) -> frame_labels.SegmentCounts:
    ours, theirs = looped_segments(predicted, 0), looped_segments(truth, 0)
    used: set[int] = set()
    hits = 0
    for label, start, end in ours:
        best, place = 0.0, -1
        for number, (true_label, true_start, true_end) in enumerate(theirs):
            shared = min(end, true_end) - max(start, true_start)
            union = max(end, true_end) - min(start, true_start)
            if label == true_label and shared / union > best:
                best, place = shared / union, number
        if best >= overlap and place not in used:
            used.add(place)
            hits += 1
    return frame_labels.SegmentCounts(hits, len(ours) - hits, len(theirs) - hits)


@settings(deadline=None)
@given(LABELS, LABELS)
def test_edit_distance_is_that_of_the_table(first: list[int], second: list[int]) -> None:
    assert frame_labels.edit_distance(first, second) == table_distance(first, second)
    assert frame_labels.edit_distance([], second) == len(second)
    assert frame_labels.edit_distance(first, []) == len(first)


def test_edit_distance_of_more_segments_than_a_machine_word_has_bits() -> None:
    generator = np.random.default_rng(0)
    first, second = (generator.integers(0, 5, 200).tolist() for _ in range(2))
    assert frame_labels.edit_distance(first, second) == table_distance(first, second)


@settings(deadline=None)
@given(LABELS, LABELS, st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_counts_are_those_of_loops(predicted: list[int], truth: list[int], overlap: float) -> None:
    found = frame_labels.segment_counts(predicted, truth, [overlap], background=[0])
    assert found == [looped_counts(predicted, truth, overlap)]


@settings(deadline=None)
@given(LABELS)
def test_a_video_agrees_with_itself(labels: list[int]) -> None:
    assert frame_labels.frame_accuracy(labels, labels) == 1
    assert frame_labels.edit_score(labels, labels, [0]) == 1
    for count in frame_labels.segment_counts(labels, labels, background=[0]):
        assert count.false_positives == count.false_negatives == 0


def test_a_second_segment_of_a_found_one_is_false_even_if_another_is_free() -> None:
    counts = frame_labels.segment_counts([1, 0, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 1], [0.3], [0])
    assert counts == [frame_labels.SegmentCounts(1, 1, 1)]


@pytest.mark.parametrize("model", PUBLISHED)
def test_50salads_has_the_published_figures(model: str, shared_data: Path) -> None:
    pytest.importorskip("scipy")
    folder = shared_data / "metrics/segmentation/50Salads/mid" / f"mid_video_{model}"
    found = score("frame_labels", folder, folder)
    assert [round(value * 100, 1) for value in found.figures.values()] == PUBLISHED[model]
    assert found.counts["videos_evaluated"] == 50


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [([1], [1, 2], "2 labels"), ([], [1], "at least one"), ([1.5], [1], "whole numbers")],
)
def test_wrong_labels_are_refused(predicted: list[int], truth: list[int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        frame_labels.frame_accuracy(predicted, truth)


def test_overlaps_must_be_positive() -> None:
    with pytest.raises(ArgumentError, match="overlaps"):
        frame_labels.segment_counts([1], [1], [0.0])
