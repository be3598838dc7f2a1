"""Scores of single clips are kept where they were asked for, and are those of the network."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vidattn
from vidattn.data import ClipDataset, read_annotations
from vidattn.errors import ArgumentError, UnknownNameError
from vidattn.evaluation import score
from vidattn.jobs import clip_score_files
from vidattn.jobs.clip_score_files import place_of_clip_scores, write_clip_scores
from vidattn.models import LoadedRecogniser
from vidattn.runs.journal import JournalWriter

CLASSES = ["dark", "bright"]


@pytest.fixture
def listed(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """A list of four videos, two of each class."""
    for number in range(2):
        write_flash(f"videos/bright{number}.mp4", span=(0, 24), box=(0, 0, 96, 64))
        write_flash(f"videos/dark{number}.mp4", span=(0, 0))
    rows = [f"{label}{number}.mp4 {label}\n" for label in CLASSES for number in range(2)]
    (tmp_path / "videos" / "list.txt").write_text("".join(rows))
    return tmp_path / "videos" / "list.txt"


def by_hand(loaded: LoadedRecogniser, listed: Path, *, several: bool = False) -> np.ndarray:
    """(videos, clips, classes), a clip at a time."""
    dataset = ClipDataset(
        read_annotations(listed),
        spec=loaded.clip,
        classes=CLASSES,
        training=False,
        views=2,
        multi_label=several,
    )
    found = []
    for number in range(4):
        for item in dataset[number]:
            pixels = item.clip.pixels.transpose(0, 1)[None].float() / 255
            with torch.inference_mode():
                logits = loaded.recogniser(pixels).logits.double()
            found.append((logits.sigmoid() if several else logits.softmax(1)).numpy()[0])
    return np.array(found).reshape(4, 2, 2)


def test_they_are_in_the_json_of_a_small_evaluation(
    loaded_brightness: LoadedRecogniser, listed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    found = vidattn.evaluate(loaded_brightness, listed, views=2, output=output, progress=False)
    assert found is not None
    expected = by_hand(loaded_brightness, listed)
    assert found.clip_scores == pytest.approx(expected, abs=1e-6)
    record = json.loads((output / "evaluation.json").read_text())
    assert record["clip_scores"] == "json"
    written = np.array([video["clip_scores"] for video in record["videos"]])
    assert written == pytest.approx(expected, abs=1e-6)
    # The two halves of a bright video differ, so that clips are no copies of their mean.
    assert np.abs(written[2, 0] - written[2, 1]).max() > 0.01
    means = [video["scores"] for video in record["videos"]]
    assert written.mean(1) == pytest.approx(np.array(means), abs=2e-6)
    ranks = written.argmax(2) != np.array([[0], [0], [1], [1]])
    assert record["clip_top1"] == 1 - ranks.mean()
    assert not (output / "clip_scores.npz").exists()


def test_they_are_in_an_archive_where_that_was_asked_for(
    loaded_brightness: LoadedRecogniser, listed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    settings = {"views": 2, "output": output, "progress": False}
    vidattn.evaluate(loaded_brightness, listed, clip_scores="npz", **settings)
    with np.load(output / "clip_scores.npz") as archive:
        arrays = dict(archive)
    assert arrays["clip_scores"].dtype == np.float32
    assert arrays["clip_scores"] == pytest.approx(by_hand(loaded_brightness, listed), abs=1e-6)
    assert arrays["classes"].tolist() == CLASSES
    assert arrays["labels"].tolist() == [0, 0, 1, 1]
    assert arrays["videos"].tolist() == ["dark0.mp4", "dark1.mp4", "bright0.mp4", "bright1.mp4"]
    record = json.loads((output / "evaluation.json").read_text())
    assert "clip_scores" not in record["videos"][0]
    assert "clip_scores.npz" in record["written"]["files"]
    # A later result without them takes the file away.
    found = vidattn.evaluate(
        loaded_brightness, listed, clip_scores="none", overwrite=True, **settings
    )
    assert not (output / "clip_scores.npz").exists()
    assert found is not None
    assert found.clip_scores is None
    with pytest.raises(ArgumentError, match="did not keep them"):
        write_clip_scores(tmp_path / "x.npz", found)


def test_those_of_several_labels_are_each_label_by_itself(
    loaded_brightness: LoadedRecogniser, listed: Path
) -> None:
    spec = replace(loaded_brightness.recogniser.spec, multi_label=True)
    loaded_brightness.recogniser.spec = spec
    found = vidattn.evaluate(loaded_brightness, listed, views=2, progress=False)
    assert found is not None
    expected = by_hand(loaded_brightness, listed, several=True)
    assert found.clip_scores == pytest.approx(expected, abs=1e-6)
    assert found.to_json()["videos"][1]["clip_scores"] == [
        [round(float(np.float32(one)), 6) for one in clip] for clip in found.clip_scores[1]
    ]


@pytest.mark.parametrize(
    ("asked", "numbers", "place"),
    [
        (None, 1_000_000, "json"),
        (None, 1_000_001, "none"),
        (None, 20_000 * 30 * 400, "none"),
        ("npz", 2, "npz"),
        ("json", 10**9, "json"),
        ("none", 2, "none"),
    ],
)
def test_json_takes_no_more_than_a_million_unasked(
    asked: str | None, numbers: int, place: str
) -> None:
    assert place_of_clip_scores(asked, numbers) == place


def test_a_large_evaluation_keeps_none_unasked(
    loaded_brightness: LoadedRecogniser, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_score_files, "MOST_NUMBERS", 15)  # 4 videos × 2 clips × 2 classes
    found = vidattn.evaluate(loaded_brightness, listed, views=2, progress=False)
    assert found is not None
    assert found.settings["clip_scores"] == "none"
    assert "clip_scores" not in found.to_json()["videos"][0]


def test_another_place_is_refused(loaded_brightness: LoadedRecogniser, listed: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"clip_scores: unknown name 'pickle'.*json"):
        vidattn.evaluate(loaded_brightness, listed, clip_scores="pickle", progress=False)


@pytest.mark.parametrize("name", ["evaluation.json", "clip_scores.npz"])
def test_what_was_written_is_scored(
    name: str, loaded_brightness: LoadedRecogniser, listed: Path, tmp_path: Path
) -> None:
    loaded_brightness.recogniser.head.bias.data[0] += 0.2
    output = tmp_path / "out"
    found = vidattn.evaluate(
        loaded_brightness, listed, views=2, clip_scores="npz", output=output, progress=False
    )
    assert found is not None
    scored = score("recognition", output / name, listed)
    assert scored.figures["top1"] == found.figures["video_top1"]
    assert scored.figures["mean_class_accuracy"] == found.figures["mean_class_accuracy"]
    assert scored.figures["calibration_error"] == pytest.approx(
        found.figures["calibration_error"], abs=1e-5
    )


def test_an_unfinished_run_with_another_place_is_refused(
    loaded_brightness: LoadedRecogniser,
    listed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"views": 2, "batch_size": 2, "output": tmp_path / "out", "progress": False}
    write, written = JournalWriter.write, list[int]()

    def full(writer: JournalWriter, records: dict[int, Any]) -> dict[int, Any]:
        if written:
            raise OSError(errno.ENOSPC, "No space left")
        written.extend(records)
        return write(writer, records)

    with monkeypatch.context() as patch:
        patch.setattr(JournalWriter, "write", full)
        with pytest.raises(OSError, match="No space left"):
            vidattn.evaluate(loaded_brightness, listed, **settings)
    with pytest.raises(ArgumentError, match="clip_scores"):
        vidattn.evaluate(loaded_brightness, listed, clip_scores="npz", **settings)
    found = vidattn.evaluate(loaded_brightness, listed, **settings)
    assert found is not None
    assert found.clip_scores == pytest.approx(by_hand(loaded_brightness, listed), abs=1e-6)
