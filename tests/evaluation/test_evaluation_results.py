from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn.errors import MalformedFileError
from vidattn.evaluation import score

VIDEO = {"video": "run/a.mp4", "scores": [0.9, 0.1], "labels": ["run"]}
RECORD = {"classes": ["run", "walk"], "videos": [VIDEO, VIDEO | {"video": "b.mp4"}]}
ARRAYS = {
    "videos": np.array(["run/a.mp4", "b.mp4"]),
    "classes": np.array(["run", "walk"]),
    "clip_scores": np.array([[[0.6, 0.4], [0.2, 0.8]], [[0.9, 0.1], [0.3, 0.7]]], np.float32),
}


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    (tmp_path / "truth.txt").write_text("a.mp4 walk\nb.mp4 run\n")
    return tmp_path / "truth.txt"


def write(path: Path, record: dict[str, Any]) -> Path:
    path.write_text(json.dumps(record, indent=1))
    return path


def test_a_result_of_evaluate_is_scored(tmp_path: Path, truth: Path) -> None:
    found = score("recognition", write(tmp_path / "evaluation.json", RECORD), truth)
    assert found.figures["top1"] == 0.5
    assert found.counts["classes"] == 2


def test_classes_may_be_numbers_of_a_list(tmp_path: Path, truth: Path) -> None:
    (tmp_path / "classes.txt").write_text("run\nwalk\n")
    numbered = write(tmp_path / "evaluation.json", RECORD | {"classes": ["1", "0"]})
    found = score("recognition", numbered, truth, labels=tmp_path / "classes.txt")
    assert found.classes["walk"]["recall"] == 1


def test_clips_without_scores_of_videos_are_averaged(tmp_path: Path, truth: Path) -> None:
    np.savez(tmp_path / "clip_scores.npz", **ARRAYS)
    # By hand: the means are 0.4, 0.6 (walk) and 0.6, 0.4 (run), both right.
    assert score("recognition", tmp_path / "clip_scores.npz", truth).figures["top1"] == 1
    several = {"scores": np.array([[0.9, 0.1], [0.9, 0.1]])}  # which go before the clips'
    np.savez(tmp_path / "clip_scores.npz", **ARRAYS, **several)
    assert score("recognition", tmp_path / "clip_scores.npz", truth).figures["top1"] == 0.5


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (RECORD | {"videos": [VIDEO | {"scores": [1.0]}]}, r"json:\d+: .*each of 2 classes.*got 1"),
        (RECORD | {"videos": [{"video": "a.mp4"}]}, "'scores'"),
        (RECORD | {"videos": [VIDEO | {"scores": ["x", 1]}]}, r"json:\d+: .*finite number"),
        (RECORD | {"videos": [VIDEO | {"video": 3}, VIDEO]}, "text"),
        (RECORD | {"videos": [VIDEO, VIDEO]}, "every video and every class once"),
        (RECORD | {"videos": [VIDEO, VIDEO | {"video": "walk/a.avi"}]}, "without folders"),
        (RECORD | {"classes": ["run", "run"]}, "every class once"),
        (RECORD | {"classes": ["run", 2]}, "text"),
    ],
)
def test_a_wrong_result_is_refused(
    tmp_path: Path, truth: Path, record: dict[str, Any], reason: str
) -> None:
    with pytest.raises(MalformedFileError, match=reason):
        score("recognition", write(tmp_path / "evaluation.json", record), truth)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"clip_scores": None}, "an array 'clip_scores'"),
        ({"videos": None}, "an array 'videos'"),
        ({"clip_scores": np.zeros((2, 0, 2))}, "each of 2 videos and 2 classes"),
        ({"clip_scores": np.zeros((2, 2, 3))}, "each of 2 videos and 2 classes"),
        ({"scores": np.zeros((3, 2))}, r"got \(3, 2\)"),
        ({"scores": np.full((2, 2), np.nan)}, "finite numbers"),
        ({"scores": np.array([["a", "b"], ["c", "d"]])}, "numbers"),
    ],
)
def test_a_wrong_archive_is_refused(
    tmp_path: Path, truth: Path, changes: dict[str, Any], reason: str
) -> None:
    arrays = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    np.savez(tmp_path / "clip_scores.npz", **arrays)
    with pytest.raises(MalformedFileError, match=reason):
        score("recognition", tmp_path / "clip_scores.npz", truth)
    (tmp_path / "clip_scores.npz").write_bytes(b"PK no archive")
    with pytest.raises(MalformedFileError, match=r"clip_scores\.npz: expected a NumPy archive"):
        score("recognition", tmp_path / "clip_scores.npz", truth)
