from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics.keyframes import (
    action_recall,
    keyframe_precision,
    random_precision,
    random_recall,
    uniform_precision,
    uniform_recall,
)


@st.composite
def videos(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    frame_count = draw(st.integers(1, 9))
    spans = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, frame_count - 1))
        spans.append([start, draw(st.integers(start + 1, frame_count))])
    return frame_count, spans


@given(videos(), st.integers(1, 4))
@settings(deadline=None)
def test_expectations_are_means_over_all_choices(
    video: tuple[int, list[list[int]]], count: int
) -> None:
    frame_count, spans = video
    count = min(count, frame_count)
    precisions, recalls = [], []
    for chosen in combinations(range(frame_count), count):
        inside = [any(start <= frame < end for start, end in spans) for frame in chosen]
        hit = [any(start <= frame < end for frame in chosen) for start, end in spans]
        precisions.append(sum(inside) / count)
        recalls.append(sum(hit) / len(spans))
        assert keyframe_precision(list(chosen), spans) == pytest.approx(precisions[-1])
        assert action_recall(list(chosen), spans) == pytest.approx(recalls[-1])
    assert random_precision(spans, frame_count) == pytest.approx(np.mean(precisions))
    assert random_recall(spans, frame_count, count) == pytest.approx(np.mean(recalls))


def test_uniform_is_what_uniform_frames_would_score() -> None:
    # Middles of five stretches of 50 frames: 5, 15, 25, 35, 45.
    assert uniform_precision([10, 30], 50, 5) == pytest.approx(2 / 5)
    assert uniform_recall([[10, 15], [15, 16]], 50, 5) == 0.5


def test_overlapping_spans_count_a_frame_once() -> None:
    assert random_precision([[0, 6], [3, 8]], 10) == 0.8
    assert keyframe_precision([4], [[0, 6], [3, 8]]) == 1


def test_a_video_without_action() -> None:
    assert keyframe_precision([1, 2], []) == 0
    assert random_precision([], 5) == 0
    with pytest.raises(ArgumentError, match="at least one"):
        action_recall([1], [])


@pytest.mark.parametrize(
    ("selected", "spans", "name"),
    [
        ([], [0, 1], "selected"),
        ([1, 1], [0, 1], "selected"),
        ([-1], [0, 1], "selected"),
        ([0.5], [0, 1], "selected"),
        ([0], [3, 3], "spans"),
        ([0], [-1, 3], "spans"),
        ([0], [0, 1, 2], "spans"),
        ([0], [0.0, 1.0], "spans"),
    ],
)
def test_nonsense_is_refused(selected: list, spans: list, name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        keyframe_precision(selected, spans)


def test_spans_must_lie_in_the_video() -> None:
    for function in (random_precision, lambda s, t: random_recall(s, t, 1)):
        with pytest.raises(ArgumentError, match="at most 9"):
            function([0, 10], 9)
