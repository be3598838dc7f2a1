from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vidattn
from vidattn.errors import AnnotationError, ArgumentError, UnknownNameError
from vidattn.jobs import evaluation_run
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


def test_foreign_labels_and_empty_folders_are_errors(
    folder: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    (folder / "dark").rename(folder / "dusky")
    with pytest.raises(ArgumentError, match="dusky"):
        vidattn.evaluate(loaded_brightness, folder, progress=False)
    with pytest.raises(AnnotationError, match="absent"):
        vidattn.evaluate(loaded_brightness, tmp_path / "absent", progress=False)


def test_folds_and_decoders_that_do_not_exist_are_errors(
    folder: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    listed = tmp_path / "clips.csv"
    rows = [f"{label}/{n}.mp4,{label},{n}" for label in ("bright", "dark") for n in range(3)]
    listed.write_text("\n".join(["path,label,fold", *rows]))
    arguments = {"root": folder, "progress": False}
    found = vidattn.evaluate(loaded_brightness, listed, folds=[0, 2], **arguments)
    assert found.settings["videos_expected"] == 4
    with pytest.raises(ArgumentError, match=r"folds: expected some of \[0, 1, 2\], got \[7\]"):
        vidattn.evaluate(loaded_brightness, listed, folds=[0, 7], **arguments)
    with pytest.raises(UnknownNameError, match="pyav"):
        vidattn.evaluate(loaded_brightness, folder, decoder="pyva", workers=1, progress=False)


def test_a_folder_that_cannot_be_made_is_found_out_first(
    folder: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setattr(evaluation_run, "work_through", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(OSError, match="taken"):
        vidattn.evaluate(loaded_brightness, folder, output=tmp_path / "taken", progress=False)
