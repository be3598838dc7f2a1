"""Predictions of many videos: what is written, what is read back, and what cannot be read."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vidattn
from vidattn.cli.entry import main
from vidattn.data import ClipSpec
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.jobs import Predictions, write_predictions
from vidattn.models import Recogniser, RecogniserSpec, save
from vidattn.runs.results import KEPT_FOLDER

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}


@pytest.fixture
def videos(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of videos that nobody has labelled, in folders below, one of them broken."""
    for number in range(4):
        write_flash(f"films/{number % 2}/film{number}.mp4", frame_count=20 + 15 * number)
    (tmp_path / "films" / "0" / "broken.mp4").write_bytes(b"no video")
    return tmp_path / "films"


def test_what_is_written(videos: Path, untrained: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    found = write_predictions(
        [videos], output, checkpoint=untrained, every_seconds=0.5, top=1, progress=False
    )
    assert found is not None
    assert (len(found), len(found.failures)) == (4, 1)
    assert repr(found) == "<Predictions of 4 videos, 1 failed>"
    [failure] = found.failures
    assert failure.video == str(videos / "0" / "broken.mp4")
    assert failure.error == "NotAVideoError"
    assert str(tmp_path) in found._repr_html_()
    record = json.loads((output / "predictions.json").read_text())
    assert [each["video"] for each in record["videos"]] == [each.video for each in found]
    assert (record["videos_done"], record["videos_failed"]) == (4, 1)
    assert record["failures"] == [failure.to_json()]
    with (output / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "video", "start_seconds", "end_seconds", "label", "probability", "rank"
    ]  # fmt: skip
    # 20, 35, 50 and 65 frames at 25 a second, in half seconds.
    counts = {name: sum(name in row["video"] for row in rows) for name in ("m0", "m1", "m2", "m3")}
    assert counts == {"m0": 2, "m1": 3, "m2": 4, "m3": 6}
    for row in rows:
        assert float(row["probability"]) >= 0.5
        assert row["rank"] == "1"
    assert sorted(entry.name for entry in output.iterdir()) == [
        KEPT_FOLDER, "predictions.csv", "predictions.html", "predictions.json"
    ]  # fmt: skip


def test_the_page_shows_each_video(videos: Path, untrained: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    write_predictions([videos], output, checkpoint=untrained, progress=False)
    page = (output / "predictions.html").read_text()
    for number in range(4):
        assert page.count(f"film{number}.mp4") == 2  # in the table, and over its time
    assert "broken.mp4" in page
    assert "4 of 5 videos, in steps of 1 s." in page


def test_each_is_what_the_model_says_of_it_alone(videos: Path, untrained: Path) -> None:
    found = write_predictions([videos / "1"], checkpoint=untrained, progress=False)
    assert found is not None
    for each in found:
        alone = vidattn.load(untrained).predict(each.video)
        for label, probability in alone.probabilities.items():
            assert each.probabilities[label] == pytest.approx(probability, abs=1e-6)
        assert [step.label for step in each] == [step.label for step in alone]


def test_a_run_goes_on_and_a_finished_one_is_not_written_over(
    videos: Path, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidattn.jobs import predict

    output = tmp_path / "out"
    original, opened = predict.open_video_or_picture, []

    def interrupted(path: str, *arguments: object, **settings: object) -> object:
        if len(opened) == 2:
            raise KeyboardInterrupt
        opened.append(path)
        return original(path, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(predict, "open_video_or_picture", interrupted)
    settings = {"checkpoint": untrained, "processes": 0, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        write_predictions([videos / "1", videos / "0"], output, **settings)
    opened.append("one more")
    write_predictions([videos / "1", videos / "0"], output, **settings)
    assert len(opened) == len({*opened}) == 2 + 1 + 3
    whole = write_predictions([videos / "1", videos / "0"], **settings)
    assert whole is not None
    record = json.loads((output / "predictions.json").read_text())
    record.pop("written")
    assert json.loads(json.dumps(whole.to_json())) == record
    with pytest.raises(ArgumentError, match="--overwrite"):
        write_predictions([videos], output, **settings)
    assert write_predictions([videos], output, overwrite=True, **settings) is not None


def scored(output: Path, truth: Path, *options: str) -> dict[str, float]:
    score = output / "score.json"
    predictions = str(output / "predictions.json")
    code = main(["score", "recognition", predictions, str(truth), "--output", str(score), *options])
    assert code == 0
    figures: dict[str, float] = json.loads(score.read_text())["figures"]
    return figures


def test_score_reads_what_is_written(videos: Path, untrained: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    found = write_predictions([videos], output, checkpoint=untrained, progress=False)
    assert found is not None
    truth = {f"film{number}": ("dark", "bright")[number // 3] for number in range(4)}
    (tmp_path / "truth.csv").write_text(
        "path,label\n" + "".join(f"{name}.mp4,{label}\n" for name, label in truth.items())
    )
    figures = scored(output, tmp_path / "truth.csv")
    right = [each.label == truth[Path(each.video).stem] for each in found]
    assert figures["top1"] == pytest.approx(np.mean(right))
    assert "calibration_error" in figures  # they are probabilities


def test_score_reads_several_labels(videos: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    spec = RecogniserSpec(classes=("a", "b", "c"), backbone_settings=SLIM, multi_label=True)
    save(tmp_path / "m.ckpt", Recogniser(spec), ClipSpec(frames=8, short_side=32, crop_size=32))
    output = tmp_path / "out"
    found = write_predictions([videos], output, checkpoint=tmp_path / "m.ckpt", progress=False)
    assert found is not None
    assert all(each.multi_label for each in found)
    (tmp_path / "truth.csv").write_text("film0,a\nfilm0,b\nfilm1,b\nfilm2,c\nfilm3,a\n")
    figures = scored(output, tmp_path / "truth.csv", "--protocol", "multi-label")
    true = {"a": {"film0", "film3"}, "b": {"film0", "film1"}, "c": {"film2"}}
    precisions = []
    for label, names in true.items():
        order = sorted(found, key=lambda each: -each.probabilities[label])
        hits = [Path(each.video).stem in names for each in order]
        at = [np.mean(hits[: place + 1]) for place, hit in enumerate(hits) if hit]
        precisions.append(np.mean(at))
    assert figures["mAP"] == pytest.approx(np.mean(precisions))


def test_pictures_and_folders_of_pictures_and_lists(untrained: Path, tmp_path: Path) -> None:
    picture = np.full((40, 60, 3), 200, np.uint8)
    (tmp_path / "frames").mkdir()
    for number in range(30):
        Image.fromarray(picture).save(tmp_path / "frames" / f"{number}.png")
    Image.fromarray(picture).save(tmp_path / "alone.jpg")
    (tmp_path / "list.txt").write_text("alone.jpg\nframes\n")
    found = write_predictions([tmp_path / "list.txt"], checkpoint=untrained, progress=False)
    assert found is not None
    assert [(Path(each.video).name, each.frame_count) for each in found] == [
        ("alone.jpg", 1), ("frames", 30)
    ]  # fmt: skip
    assert [len(each) for each in found] == [1, 2]
    assert [bool(each.remarks) for each in found] == [True, False]


def test_where_nothing_can_be_read_nothing_is_written(untrained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    output = tmp_path / "out"
    found = write_predictions(
        [tmp_path / "a.mp4", tmp_path / "b.jpg"], output, checkpoint=untrained, progress=False
    )
    assert isinstance(found, Predictions)
    assert [each.error for each in found.failures] == ["NotAVideoError", "DecodeError"]
    assert len(found) == 0
    assert not output.exists()


@pytest.mark.parametrize("given", [[], [""]])
def test_a_list_of_nothing(given: list[str], untrained: Path) -> None:
    with pytest.raises(AnnotationError):
        write_predictions(given, checkpoint=untrained, progress=False)


def test_parts_of_videos_move_the_bar(videos: Path, untrained: Path) -> None:
    from vidattn.inference.predictor import PredictionSettings
    from vidattn.jobs.predict import _Prediction
    from vidattn.runs.shards import Shard

    settings = PredictionSettings(top=1, batch_size=2)
    names = [str(path) for path in sorted((videos / "1").glob("*.mp4"))]
    work = _Prediction(names, vidattn.load(untrained), "cpu", "pyav", False, settings)
    parts: list[float] = []
    for found in work.records([[0], [1]], Shard()):
        if isinstance(found, float):
            parts.append(found)
            continue
        assert len(parts) > 2
        assert sum(parts) == pytest.approx(1)
        parts.clear()


# Ends whatever process opens a file of this name, as a broken decoder would.
KILLER = """
import os, signal
import av

opened = av.open

def killing(file, *arguments, **settings):
    if "film2" in str(getattr(file, "name", file)):
        os.kill(os.getpid(), signal.SIGKILL)
    return opened(file, *arguments, **settings)

av.open = av.container.open = killing
"""


@pytest.mark.slow
def test_a_video_that_ends_its_process_costs_one_record(
    videos: Path, untrained: Path, tmp_path: Path
) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(KILLER)
    arguments = ["predict", str(videos), "--checkpoint", str(untrained), "--output", "out"]
    run = subprocess.run(
        [sys.executable, "-m", "vidattn", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path / 'start'}:{Path.cwd()}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    failures = {Path(each["video"]).name: each["reason"] for each in record["failures"]}
    assert set(failures) == {"broken.mp4", "film2.mp4"}
    assert "killed by SIGKILL" in failures["film2.mp4"]
    assert [Path(each["video"]).stem for each in record["videos"]] == ["film0", "film1", "film3"]
