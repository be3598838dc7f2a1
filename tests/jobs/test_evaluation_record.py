from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn.data import Sample
from vidattn.errors import ArgumentError
from vidattn.jobs.clip_scores import compact, packed
from vidattn.jobs.evaluation_record import gather_evaluation
from vidattn.runs.failures import failure
from vidattn.runs.outcome import VideoFailure


def samples(*labels: tuple[str, ...], group: str | None = None) -> list[Sample]:
    return [
        Sample(Path(f"/{number}.mp4"), own, f"{number}.mp4", group)
        for number, own in enumerate(labels)
    ]


def record(scores: list[float], ranks: list[int]) -> dict[str, Any]:
    return {"scores": scores, "clip_ranks": ranks, "indices": ["0:4:1"]}


def logits(row: list[float]) -> np.ndarray:
    return np.log(np.array([row]) / (1 - np.array([row]))).astype(np.float32)


def test_clips_and_videos_are_counted_apart() -> None:
    records = {
        0: record([0.4, 0.6], [1, 0]),
        1: record([0.3, 0.7], [0]),
        2: failure("VideoError", "torn"),
    }
    found = gather_evaluation(
        records, samples(*[("yes",)] * 3), np.array([1, 1, 1]), ("no", "yes"), {"a": 1}
    )
    assert found.figures["clip_top1"] == pytest.approx(2 / 3)
    assert found.figures["video_top1"] == 1.0
    # By hand: sure of 0.6 and 0.7, and right both times.
    assert found.figures["calibration_error"] == pytest.approx(0.35)
    assert found.failures == (VideoFailure("/2.mp4", "VideoError", "torn", 1),)
    assert found.class_table == {
        "no": {"videos": 0, "accuracy": None},
        "yes": {"videos": 2, "accuracy": 1.0},
    }
    written = found.to_json()
    assert written["a"] == 1
    assert (written["videos_done"], written["videos_failed"]) == (2, 1)
    assert [video["predicted"] for video in written["videos"]] == ["yes", "yes"]
    assert written["videos"][0]["indices"] == ["0:4:1"]


def test_multi_label_videos_get_average_precision_with_an_interval() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    scores = [[0.9, 0.3], [0.1, 0.9], [0.7, 0.7]]
    records = {
        number: {"scores": row, "clip_logits": packed(logits(row)), "indices": ["0"]}
        for number, row in enumerate(scores)
    }
    found = gather_evaluation(records, samples(("x",), ("y",), ("x", "y")), labels, "xy", {})
    assert found.figures["video_mean_average_precision"] == 1.0
    assert found.intervals["video_mean_average_precision"] == (1.0, 1.0)
    assert [row["labels"] for row in found.to_json()["videos"]] == [["x"], ["y"], ["x", "y"]]
    assert found.class_table["x"] == {"videos": 2, "average_precision": 1.0}


def test_videos_of_one_group_have_no_interval() -> None:
    records = {0: record([0.4, 0.6], [0]), 1: record([0.7, 0.3], [1])}
    rows = samples(("yes",), ("yes",), group="one source")
    assert gather_evaluation(records, rows, np.array([1, 1]), ("no", "yes"), {}).intervals == {}


def test_nothing_evaluated_is_an_error() -> None:
    with pytest.raises(ArgumentError, match=r"none of the 1 videos.*/0\.mp4: torn"):
        gather_evaluation(
            {0: failure("VideoError", "torn")}, samples(("yes",)), np.array([1]), ("no", "yes"), {}
        )


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([0, 1, 2], "0:3:1"),
        ([3, 11, 19], "3:27:8"),
        ([0, 3, 5], "0 3 5"),
        ([4], "4"),
        ([2, 2, 2], "2 2 2"),
        ([5, 4, 3], "5 4 3"),
    ],
)
def test_frames_in_one_string(indices: list[int], text: str) -> None:
    assert compact(indices) == text
    if ":" in text:
        assert list(range(*map(int, text.split(":")))) == indices
