"""`vidattn.train` takes arguments of Python, gives a typed result, and changes nothing else."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError, CheckpointError, EarlierRunError
from vidattn.models import load
from vidattn.training import Training

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 2]}
CLIP = {"frames": 8, "short_side": 32, "crop_size": 32}
SHORT = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}


def train(folder: Path, output: Path, **changes: object) -> Training:
    settings: dict = {
        "data": {"annotations": folder, "validation_fraction": 0.25, "batch_size": 2},
        "model": {"backbone_settings": SLIM},
        "clip": CLIP,
        "trainer": SHORT,
        "output": output,
    }
    for name, value in changes.items():
        is_group = isinstance(value, dict) and name in settings
        settings[name] = {**settings[name], **value} if is_group else value
    return vidattn.train(**settings)


def test_looking_at_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, vidattn\nvidattn.train\n"
        "assert not {'torch', 'pytorch_lightning', 'jsonargparse'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_result_says_what_was_reached(folder: Path, tmp_path: Path, caplog) -> None:
    found = train(folder, tmp_path / "run", trainer={"max_epochs": 2})
    assert found.best == found.checkpoint == tmp_path / "run" / "best.ckpt"
    assert found.last == tmp_path / "run" / "last.ckpt"
    assert (found.epochs, found.steps, found.classes) == (2, 6, ("early", "late"))
    assert found.failures == {}
    best = torch.load(found.best, weights_only=True)
    assert found.validation is not None
    assert found.validation.epoch == best["epoch"] + 1
    assert (found.validation.videos, found.validation.chance) == (2, 0.5)
    # The same clips, seen by `evaluate`: the two videos that training held out.
    trained = vidattn.training.VideoDataModule(str(folder), validation_fraction=0.25)
    held_out = tmp_path / "held_out.csv"
    rows = [f"{sample.path},{sample.labels[0]}" for sample in trained.splits.validation]
    held_out.write_text("\n".join(["path,label", *rows]))
    again = vidattn.evaluate(found.best, held_out, root="/", progress=False)
    assert again.figures["clip_top1"] == found.validation.value
    assert len(repr(found)) < 300
    assert "\n" not in repr(found)
    assert json.loads(json.dumps(found.to_json()))["best"] == str(found.best)
    assert not caplog.records  # of any library


def test_a_configuration_and_what_is_given_beside_it(
    folder: Path, configuration: Callable, tmp_path: Path
) -> None:
    values = configuration(folder, tmp_path / "by_file", max_epochs=1)
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    by_file = vidattn.train(path)
    by_values = vidattn.train(values, output=tmp_path / "by_values")
    other = vidattn.train(
        str(path), output=tmp_path / "other", seed=2, optimisation={"learning_rate": 1e-20}
    )
    assert by_file.output == tmp_path / "by_file"
    first, second, third = (
        load(found.last).recogniser.state_dict() for found in (by_file, by_values, other)
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not all(torch.equal(value, third[name]) for name, value in first.items())
    kept = yaml.safe_load((tmp_path / "other" / "config.yaml").read_text())
    assert kept["optimisation"]["learning_rate"] == 1e-20
    assert (kept["seed_everything"], kept["model"]["backbone"]) == (2, "slim")


def test_a_folder_is_trained_into_once(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    before = first.last.read_bytes()
    with pytest.raises(EarlierRunError, match=r"--resume.*--overwrite"):
        train(folder, tmp_path / "run")
    assert first.last.read_bytes() == before
    with pytest.raises(CheckpointError, match=r"is finished \(epochs done: 1, .*max_epochs: 1\)"):
        train(folder, tmp_path / "run", resume=True)
    assert first.last.read_bytes() == before
    more = train(folder, tmp_path / "run", resume=True, trainer={"max_epochs": 2})
    assert (more.epochs, more.steps) == (2, 6)
    anew = train(folder, tmp_path / "run", overwrite=True)
    assert anew.epochs == 1
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    with pytest.raises(CheckpointError, match="found no checkpoint of an earlier training"):
        train(folder, tmp_path / "empty", resume=True)
    assert not (tmp_path / "empty").exists()


def test_it_resumes_from_where_it_came_furthest(folder: Path, tmp_path: Path) -> None:
    found = train(folder, tmp_path / "run")
    further = torch.load(found.last, weights_only=True)
    train(folder, tmp_path / "run", overwrite=True, trainer={"max_epochs": 3})
    torch.save(further, tmp_path / "run" / "interrupted.ckpt")  # newer, but of one epoch
    more = train(folder, tmp_path / "run", resume=True, trainer={"max_epochs": 4})
    assert more.steps == 12
    assert torch.load(found.last, weights_only=True)["global_step"] == 12


def test_test_videos_do_not_choose_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    rows = [f"{label}/{n}.mp4,{label},{n % 2}" for label in ("early", "late") for n in range(4)]
    (folder / "videos.csv").write_text("\n".join(["path,label,fold", *rows]))
    data = {"annotations": folder / "videos.csv", "test_folds": [0], "validation_fraction": None}
    found = train(folder, tmp_path / "run", data=data)
    assert found.best is None
    assert found.validation is not None
    assert found.validation.videos == 4
    command = found.next_commands[0]
    assert "--folds 0" in command
    assert not (tmp_path / "run" / "best.ckpt").exists()


def test_what_is_wrong_is_raised_and_not_printed(folder: Path, tmp_path: Path, capsys) -> None:
    for change, said in (
        ({"model": {"learning_rate": 1}}, "model.learning_rate is now optimisation.learning_rate"),
        ({"clip": {"frames": "many"}}, "clip.frames: expected int, got 'many'"),
        ({"trainer": {"wings": 2}}, "unknown setting trainer.wings"),
        ({"config": tmp_path / "nope.yaml"}, "nope.yaml: no such configuration file"),
        ({"threads": 0}, "threads: expected a whole number of at least 1"),
        ({"optimisation": {"optimiser": object()}}, "expected what a YAML file can hold"),
    ):
        with pytest.raises(ArgumentError, match=re.escape(said)):
            train(folder, tmp_path / "run", **change)
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "run").exists()


def test_nothing_of_the_process_is_changed(folder: Path, tmp_path: Path) -> None:
    def state() -> list:
        names = ("pytorch_lightning", "lightning_fabric", "")
        return [list(warnings.filters), *(logging.getLogger(name).level for name in names)]

    before = state()
    train(folder, tmp_path / "run")
    assert state() == before
    with pytest.raises(EarlierRunError):
        train(folder, tmp_path / "run")
    assert state() == before


@pytest.mark.slow
def test_the_command_prints_nothing_of_other_libraries(folder: Path, tmp_path: Path) -> None:
    """In a process of its own: loggers keep the stream that they were made with."""
    command = ["--data.annotations", str(folder), "--output", "run", "--clip.frames", "4"]
    command += ["--clip.short_side", "32", "--clip.crop_size", "32", "--trainer.max_epochs", "1"]
    command += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    found = subprocess.run(
        [sys.executable, "-m", "vidattn", "train", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert lines[0].startswith("trained 1 epochs, 1 steps: no validation videos")
    assert lines[1] == "checkpoints: run/last.ckpt"
    assert lines[3].startswith("  vidattn predict ")
    assert lines[4].startswith("  vidattn keyframes ")


def test_an_accelerator_that_is_not_there_is_one_line(folder: Path, tmp_path: Path, capsys) -> None:
    options = ["--data.annotations", str(folder), "--output", str(tmp_path / "run")]
    assert main(["train", *options, "--trainer.accelerator", "abacus"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_other_optimiser_settings_are_not_passed_over(folder: Path, tmp_path: Path) -> None:
    """The optimiser's state would bring its own rates with it."""
    rate = {"learning_rate": 0.01, "layer_decay": 0.5}
    train(folder, tmp_path / "run", optimisation=rate)
    for change, said in (
        ({"learning_rate": 0.02}, "optimisation.learning_rate is 0.01 there, 0.02 here"),
        ({"weight_decay": 0.1}, "optimisation.weight_decay is 0.05 there, 0.1 here"),
        ({"layer_decay": 0.7}, "optimisation.layer_decay"),
    ):
        with pytest.raises(CheckpointError, match=re.escape(said)):
            train(
                folder,
                tmp_path / "run",
                resume=True,
                optimisation=rate | change,
                trainer={"max_epochs": 2},
            )
    more = train(
        folder, tmp_path / "run", resume=True, optimisation=rate, trainer={"max_epochs": 2}
    )
    assert more.epochs == 2


def test_a_class_of_validation_alone_is_said(
    folder: Path, write_flash: Callable, tmp_path: Path, caplog
) -> None:
    for label in ("early", "never"):
        write_flash(f"val/{label}/0.mp4", frame_count=16, size=(32, 32))
    data = {"validation": tmp_path / "val", "validation_fraction": None}
    found = train(folder, tmp_path / "run", data=data)
    (said,) = [record.message for record in caplog.records if "learned" in record.message]
    assert said.startswith("vidattn: no training video has these classes")
    assert said.endswith(": never")
    assert found.classes == ("early", "late", "never")


def test_a_class_whose_videos_are_all_broken_is_said(folder: Path, tmp_path: Path, capsys) -> None:
    for number in range(4):
        (folder / "late" / f"{number}.mp4").write_bytes(b"torn")
    found = train(folder, tmp_path / "run")
    said = capsys.readouterr().err.splitlines()
    line = "vidattn: class late: not one of its 3 videos of training could be read"
    assert f"{line}; the model has not learned it" in said
    assert "vidattn: class late: not one of its 1 videos of validation could be read" in said
    assert not any("class early" in line for line in said)
    assert len(found.failures) == 4


def test_a_class_dropped_in_fine_tuning_is_said(folder: Path, tmp_path: Path, capsys) -> None:
    first = train(folder, tmp_path / "first")
    (folder / "late").rename(folder / "tardy")
    train(folder, tmp_path / "second", model={"weights": first.last})
    said = capsys.readouterr().err
    assert (
        "kept early; new: rows of the head for tardy; classes of the checkpoint dropped: late"
        in (said)
    )
