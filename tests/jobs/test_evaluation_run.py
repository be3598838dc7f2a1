from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vidattn
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.jobs.evaluation_run import ClipScores, summarise
from vidattn.models import LoadedRecogniser


@pytest.fixture
def folder(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(3):
        write_flash(f"videos/bright/{number}.mp4", span=(0, 48), box=(0, 0, 96, 64))
        write_flash(f"videos/dark/{number}.mp4", span=(0, 0))
    return tmp_path / "videos"


def test_figures_json_and_page(
    folder: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    bias = loaded_brightness.recogniser.head.bias
    bias.data[0] += 10.0  # dark, unless it is brighter than a half
    output = tmp_path / "out"
    found = vidattn.evaluate(
        loaded_brightness, folder, views=2, crops=3, output=output, progress=False
    )
    assert found.figures["video_top1"] == found.figures["clip_top1"] == 1.0
    assert found.confusion.tolist() == [[3, 0], [0, 3]]
    record = json.loads((output / "evaluation.json").read_text())
    assert record["videos_evaluated"] == record["videos_expected"] == 6
    assert (record["views"], record["crops"]) == (2, 3)
    truth = [video["labels"][0] for video in record["videos"]]
    best = [record["classes"][int(np.argmax(video["scores"]))] for video in record["videos"]]
    assert np.mean(np.array(truth) == np.array(best)) == record["video_top1"]
    page = (output / "evaluation.html").read_text()
    assert "Confusion matrix" in page
    assert "100.0 %" in page


def test_unreadable_videos_are_counted_not_replaced(
    folder: Path, loaded_brightness: LoadedRecogniser
) -> None:
    (folder / "dark" / "3.mp4").write_bytes(b"broken")
    found = vidattn.evaluate(loaded_brightness, folder, progress=False)
    assert len(found.video_ids) == 6
    assert found.settings["videos_expected"] == 7
    assert list(found.failures) == [str((folder / "dark" / "3.mp4").resolve())]


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


def test_foreign_labels_and_empty_folders_are_errors(
    folder: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    (folder / "dark").rename(folder / "dusky")
    with pytest.raises(ArgumentError, match="dusky"):
        vidattn.evaluate(loaded_brightness, folder, progress=False)
    with pytest.raises(AnnotationError, match="absent"):
        vidattn.evaluate(loaded_brightness, tmp_path / "absent", progress=False)
