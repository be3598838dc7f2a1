from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import vidattn
from vidattn.data import ClipDataset, read_annotations
from vidattn.data.workers import WorkerError
from vidattn.errors import AnnotationError, ArgumentError, UnknownNameError
from vidattn.jobs import compare
from vidattn.jobs.clip_scores import spread
from vidattn.models import LoadedRecogniser
from vidattn.sampling.protocols import protocol

# The package gives the function of this name.
evaluation_run = import_module("vidattn.jobs.evaluate")


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
    assert record["videos_done"] == record["videos_expected"] == 6
    assert (record["views"], record["crops"]) == (2, 3)
    truth = [video["labels"][0] for video in record["videos"]]
    best = [record["classes"][int(np.argmax(video["scores"]))] for video in record["videos"]]
    assert np.mean(np.array(truth) == np.array(best)) == record["video_top1"]
    page = (output / "evaluation.html").read_text()
    assert "Confusion matrix" in page
    assert "Calibration" in page
    assert page.count("data:image/jpeg") == 6  # a strip of each of the worst videos
    assert "100.0 %" in page


def test_a_worker_that_dies_is_named_with_its_video(
    folder: Path, loaded_brightness: LoadedRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ClipDataset.__getitem__

    def dying(dataset: ClipDataset, draw: int) -> object:
        if draw == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(dataset, draw)

    monkeypatch.setattr(ClipDataset, "__getitem__", dying)
    with pytest.raises(WorkerError, match="killed by SIGKILL"):
        vidattn.evaluate(loaded_brightness, folder, workers=1, progress=False)


@pytest.mark.parametrize("name", ["timesformer-1x3", "swin-4x3"])
def test_a_protocol_says_which_clips_and_what_is_averaged(
    name: str, folder: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    chosen = protocol(name)
    found = vidattn.evaluate(
        loaded_brightness, folder, protocol=name, batch_size=5, output=tmp_path / "out"
    )
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert record["protocol"]["name"] == name
    assert record["protocol"]["frames"] == 8
    assert (record["views"], record["crops"]) == (chosen.views, chosen.crops)
    assert chosen.aggregation in record["aggregation"]
    samples = read_annotations(folder)
    dataset = ClipDataset(
        samples,
        spec=loaded_brightness.clip,
        classes=["dark", "bright"],
        training=False,
        protocol=chosen,
    )
    for number in (0, 5):
        clips = [item.clip for item in dataset[number]]
        seen = [spread(view) for view in record["videos"][number]["indices"]]
        assert seen == [clip.indices.tolist() for clip in clips[:: chosen.crops]]
        pixels = torch.stack([clip.pixels.transpose(0, 1) for clip in clips]).float() / 255
        with torch.inference_mode():
            logits = loaded_brightness.recogniser(pixels).logits.double()
        if chosen.aggregation == "logits":
            expected = logits.mean(0).softmax(0)
        else:
            expected = logits.softmax(1).mean(0)
        assert found.scores[number] == pytest.approx(expected.numpy(), abs=1e-6)


def test_unreadable_videos_are_counted_not_replaced(
    folder: Path, loaded_brightness: LoadedRecogniser
) -> None:
    (folder / "dark" / "3.mp4").write_bytes(b"broken")
    found = vidattn.evaluate(loaded_brightness, folder, progress=False)
    assert len(found.video_ids) == 6
    assert found.settings["videos_expected"] == 7
    [failure] = found.failures
    assert failure.video == str((folder / "dark" / "3.mp4").resolve())
    assert (failure.error, failure.attempts) == ("NotAVideoError", 1)


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
    with pytest.raises(UnknownNameError, match="pyslowfast-10x3"):
        vidattn.evaluate(loaded_brightness, folder, protocol="pyslowfast10x3", progress=False)


def test_several_labels_a_video_are_ranked(
    write_flash: Callable[..., Path], loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    spec = replace(loaded_brightness.recogniser.spec, multi_label=True)
    loaded_brightness.recogniser.spec = spec
    write_flash("a.mp4", span=(0, 48), box=(0, 0, 96, 64))
    write_flash("b.mp4", span=(0, 0))
    write_flash("c.mp4", span=(0, 48), box=(0, 0, 96, 64))
    (tmp_path / "list.csv").write_text(
        'path,label\na.mp4,bright\nb.mp4,dark\nc.mp4,"dark,bright"\n'
    )
    output = tmp_path / "out"
    found = vidattn.evaluate(
        loaded_brightness, tmp_path / "list.csv", views=2, output=output, progress=False
    )
    assert found.class_table["bright"] == {"videos": 2, "average_precision": 1.0}
    assert "video_mean_average_precision" in found.intervals
    own = compare(output / "evaluation.json", output / "evaluation.json")
    assert (own.figure, own.difference) == ("video_mean_average_precision", 0)


def test_a_folder_that_cannot_be_made_is_found_out_first(
    folder: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setattr(evaluation_run, "work_through", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(OSError, match="taken"):
        vidattn.evaluate(loaded_brightness, folder, output=tmp_path / "taken", progress=False)


def test_a_protocol_that_does_not_suit_is_said_before_anything_runs(
    folder: Path,
    loaded_brightness: LoadedRecogniser,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Four frames a clip of 224 pixels, for a model of 8 frames of 64."""
    output = tmp_path / "out"
    clip = replace(protocol("tsn-25x10"), views=2, frames=4)
    found = vidattn.evaluate(
        loaded_brightness, folder, protocol=clip, output=output, progress=False
    )
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("vidattn: warning: protocol tsn-25x10 does not suit this model")
    record = json.loads((output / "evaluation.json").read_text())
    assert record["warnings"] == found.settings["warnings"] == [line[len("vidattn: warning: ") :]]
    for word in ("4 frames a clip, the model was trained on 8", "224 pixels", "64"):
        assert word in line
    assert "does not suit this model" in (output / "evaluation.html").read_text()


def test_clips_that_the_network_cannot_take_are_named(
    folder: Path, loaded_brightness: LoadedRecogniser
) -> None:
    with pytest.raises(ArgumentError, match=r"tsn-25x10.* \(T, H, W\) = \(1, 224, 224\)"):
        vidattn.evaluate(loaded_brightness, folder, protocol="tsn-25x10", progress=False)


def test_without_a_protocol_nothing_is_warned_of(
    folder: Path, loaded_brightness: LoadedRecogniser, caplog: pytest.LogCaptureFixture
) -> None:
    found = vidattn.evaluate(loaded_brightness, folder, progress=False)
    assert not caplog.records
    assert found.settings["warnings"] == []


def test_top_five_of_few_classes_is_no_figure(
    folder: Path, loaded_brightness: LoadedRecogniser
) -> None:
    (folder / "dark" / "2.mp4").unlink()
    found = vidattn.evaluate(loaded_brightness, folder, progress=False)
    assert not any("top5" in name for name in (*found.figures, *found.intervals))
    # Three videos of one class, two of the other.
    assert found.to_json()["beside_top1"] == {"chance": 0.5, "majority": 0.6}


def test_movement_is_seen_within_a_video(
    folder: Path, loaded_brightness: LoadedRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[float] = []

    class Waiting:
        def __init__(self, *arguments: object, **settings: object) -> None:
            assert arguments[1] == 6

        def __enter__(self):
            return moved.append

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr("vidattn.runs.run.waiting", Waiting)
    vidattn.evaluate(loaded_brightness, folder, views=4, crops=3, batch_size=4)
    # Nothing was done before; then each video of 12 clips in thirds, and what rounding leaves.
    assert moved[0] == 0
    assert moved[1:4] == pytest.approx([1 / 3] * 3)
    assert sum(moved) == pytest.approx(6)
    assert sum(each > 0.3 for each in moved) == 18
