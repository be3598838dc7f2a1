from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vidattn
from vidattn.data import ClipDataset, read_annotations
from vidattn.data.workers import WorkerError
from vidattn.errors import AnnotationError, ArgumentError, UnknownNameError
from vidattn.jobs import compare, evaluation_run
from vidattn.jobs.clip_scores import spread
from vidattn.models import LoadedRecogniser
from vidattn.sampling.protocols import protocol


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
