from __future__ import annotations

import numpy as np
import pytest

from vidattn.jobs.clip_scores import ClipScores
from vidattn.jobs.evaluation_record import summarise


def test_clips_and_videos_are_counted_apart() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 1.0]], dtype=np.float32)
    clips = ClipScores(logits, ["a", "a", "b"], np.array([1, 1]), ["a", "b"], {})
    found = summarise(clips, ("no", "yes"), {})
    assert found.figures["clip_top1"] == pytest.approx(2 / 3)
    assert found.figures["video_top1"] == 1.0
    # By hand: σ(−2) and σ(3), averaged.
    assert found.scores[0, 1] == pytest.approx((1 / (1 + np.exp(2)) + 1 / (1 + np.exp(-3))) / 2)


def test_multi_label_videos_get_average_precision() -> None:
    logits = np.array([[2.0, -1.0], [-3.0, 2.0], [1.0, 1.0]], dtype=np.float32)
    labels = np.array([[1, 0], [0, 1], [1, 1]])
    found = summarise(ClipScores(logits, ["a", "b", "c"], labels, ["a", "b", "c"], {}), "xy", {})
    assert found.figures["video_mean_average_precision"] == 1.0
    assert [row["labels"] for row in found.to_json()["videos"]] == [["x"], ["y"], ["x", "y"]]
