"""Training through the command line's own parser, on files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

import vidattn
from vidattn.cli.entry import main
from vidattn.data import UnreadableVideosError
from vidattn.errors import ArgumentError
from vidattn.jobs.train import train_with
from vidattn.models import load
from vidattn.training import RecognitionTask


def run(path: Path, values: dict[str, object], *more: str) -> None:
    path.write_text(yaml.safe_dump(values))
    train_with(["--config", str(path), *more])


def test_train_resume_and_load(folder: Path, configuration: Callable, tmp_path: Path) -> None:
    output = tmp_path / "run"
    values = configuration(folder, output)
    run(tmp_path / "train.yaml", values)
    assert {p.name for p in output.iterdir()} == {"best.ckpt", "last.ckpt", "csv", "config.yaml"}
    with (output / "csv" / "version_0" / "metrics.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"train/loss", "validation/loss", "validation/top1"} <= set(columns)

    found = load(output / "last.ckpt")
    assert found.classes == ("early", "late")
    assert found.clip.frames == 8
    state = torch.load(output / "last.ckpt", weights_only=True)
    assert json.loads(state["vidattn"])["spec"]["backbone"] == "slim"
    assert state["epoch"] == 2

    values["trainer"]["max_epochs"] = 5  # type: ignore[index]
    run(tmp_path / "more.yaml", values, "--resume")
    assert torch.load(output / "last.ckpt", weights_only=True)["epoch"] == 4


def test_the_same_seed_trains_the_same_network(
    folder: Path, configuration: Callable, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        values = configuration(folder, tmp_path / name, max_epochs=1)
        run(tmp_path / f"{name}.yaml", values)
    first, second = (load(tmp_path / name / "last.ckpt") for name in ("first", "second"))
    for ours, theirs in zip(
        first.recogniser.parameters(), second.recogniser.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_threads_are_those_of_the_training_alone(
    folder: Path, configuration: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    monkeypatch.setattr(
        RecognitionTask, "on_train_start", lambda _: seen.append(torch.get_num_threads())
    )
    values = configuration(folder, tmp_path / "run", max_epochs=1) | {"threads": before + 1}
    run(tmp_path / "train.yaml", values)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
    with pytest.raises(ArgumentError, match="threads: expected a whole number of at least 1"):
        run(tmp_path / "train.yaml", values, "--threads", "0", "--overwrite")


def test_moving_average_mixup_and_a_frozen_stage_go_together(
    folder: Path, configuration: Callable, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    values = configuration(folder, output, max_epochs=1, accumulate_grad_batches=2)
    values["trainer"]["callbacks"].append(  # type: ignore[index]
        {
            "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
            "init_args": {"decay": 0.5},
        }
    )
    values["optimisation"] |= {"frozen_stages": ["stem"], "layer_decay": 0.7}  # type: ignore[operator]
    values["augmentation"] |= {"mixup_alpha": 0.4}  # type: ignore[operator]
    values["data"] |= {"class_weighted_sampling": True}  # type: ignore[operator]
    run(tmp_path / "train.yaml", values)
    state = torch.load(output / "last.ckpt", weights_only=True)
    moved = [
        name
        for name, value in state["state_dict"].items()
        if value.is_floating_point() and not torch.equal(value, state["current_model_state"][name])
    ]
    assert moved
    load(output / "last.ckpt")


def test_videos_left_out_of_training_are_said(
    folder: Path, configuration: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "early" / "broken.mp4").write_bytes(b"broken")
    values = configuration(folder, tmp_path / "run", max_epochs=1)
    del values["data"]["validation_fraction"]  # type: ignore[attr-defined]
    run(tmp_path / "train.yaml", values)
    assert "vidattn: left out of training: " in (error := capsys.readouterr().err)
    assert "broken.mp4" in error


def test_what_the_trainer_refuses_is_one_line(
    folder: Path, configuration: Callable, tmp_path: Path
) -> None:
    values = configuration(folder, tmp_path / "run", accelerator="abacus")
    with pytest.raises(ArgumentError, match="abacus") as caught:
        run(tmp_path / "train.yaml", values)
    assert "\n" not in str(caught.value)


def test_multi_label_trains_validates_and_evaluates(
    folder: Path, configuration: Callable, tmp_path: Path
) -> None:
    rows = [
        f'{label}/{number}.mp4,"{label},{"odd" if number % 2 else "even"}"'
        for label in ("early", "late")
        for number in range(4)
    ]
    annotations = folder / "videos.csv"
    annotations.write_text("\n".join(["path,label", *rows]))
    output = tmp_path / "run"
    values = configuration(folder, output, max_epochs=1)
    values["data"] |= {  # type: ignore[operator]
        "annotations": str(annotations),
        "multi_label": True,
        "class_weighted_sampling": True,
    }
    values["augmentation"] |= {"mixup_alpha": 0.4}  # type: ignore[operator]
    run(tmp_path / "train.yaml", values)
    with (output / "csv" / "version_0" / "metrics.csv").open() as file:
        assert "validation/mean_average_precision" in next(csv.reader(file))
    found = vidattn.evaluate(output / "last.ckpt", annotations, progress=False)
    assert found.classes == ("early", "even", "late", "odd")
    assert found.labels.sum() == 16
    assert 0 <= found.figures["video_mean_average_precision"] <= 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nothing.ckpt", "nothing.ckpt: no such file"),
        ("", "no such file"),
        (".", "weights '.': expected a file, got a folder"),
        ("notes.txt", "notes.txt: expected a checkpoint that torch wrote, got text"),
        ("KINETICS", "no weights are published for Slim"),
        ("ftp://host/model.ckpt", "expected http, https or file before ://"),
    ],
)
def test_weights_that_are_none_are_one_line(
    given: str,
    said: str,
    folder: Path,
    configuration: Callable,
    tmp_path: Path,
    monkeypatch,
    capsys,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("no weights")
    Path("train.yaml").write_text(yaml.safe_dump(configuration(folder, tmp_path / "run")))
    assert main(["train", "--config", "train.yaml", "--model.weights", given]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("vidattn: ")
    assert said in line


def test_fine_tuning_says_what_it_took_over(
    folder: Path, configuration: Callable, tmp_path: Path, capsys
) -> None:
    values = configuration(folder, tmp_path / "first", max_epochs=1)
    values["trainer"]["callbacks"].append(
        {
            "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
            "init_args": {"decay": 0.5},
        }
    )
    run(tmp_path / "train.yaml", values)
    first = load(tmp_path / "first" / "last.ckpt").recogniser.state_dict()
    (folder / "late").rename(folder / "tardy")
    values = configuration(folder, tmp_path / "second", max_epochs=1)
    values["model"] |= {"weights": str(tmp_path / "first" / "last.ckpt")}
    values["optimisation"] |= {"learning_rate": 0.0}
    capsys.readouterr()
    run(tmp_path / "tune.yaml", values)
    said = capsys.readouterr().err
    assert f"vidattn: weights: {tmp_path / 'first' / 'last.ckpt'}: {len(first)} of" in said
    assert "kept early; new: rows of the head for tardy" in said
    second = load(tmp_path / "second" / "last.ckpt")
    assert second.classes == ("early", "tardy")
    # A rate of 0 leaves the average as it was taken over; the statistics of norms move.
    for name, value in second.recogniser.named_parameters():
        kept = (value[0], first[name][0]) if name.startswith("head.") else (value, first[name])
        assert torch.equal(*kept)


def test_broken_videos_cost_no_more_than_themselves(
    folder: Path, configuration: Callable, tmp_path: Path, capsys, caplog
) -> None:
    """Batches of one and two, a norm over clips, mixup, and gradients gathered over batches."""
    (folder / "late" / "0.mp4").write_bytes(b"broken")
    (tmp_path / "val" / "early").mkdir(parents=True)
    (tmp_path / "val" / "early" / "whole.mp4").write_bytes((folder / "early/1.mp4").read_bytes())
    (tmp_path / "val" / "early" / "torn.mp4").write_bytes(b"torn")
    for size, attention in ((1, "squeeze_excitation"), (2, "selective_kernel")):
        output = tmp_path / f"run{size}"
        values = configuration(folder, output, max_epochs=2, accumulate_grad_batches=3)
        values["data"] |= {"batch_size": size}
        values["augmentation"] |= {"mixup_alpha": 0.4}
        values["data"]["validation"] = str(tmp_path / "val")
        del values["data"]["validation_fraction"]
        values["model"]["attention"] = [{"mechanism": attention, "stage": "layer1"}]
        values["model"]["backbone_settings"]["widths"] = [16, 16]
        run(tmp_path / "train.yaml", values)
        with (output / "csv" / "version_0" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        # Eight videos: eight or four batches an epoch, and a validation behind each epoch.
        assert sum(bool(row["train/loss"]) for row in rows) == 2 * -(-8 // size // 3)
        assert sum(bool(row["validation/top1"]) for row in rows) == 2
        assert torch.load(output / "last.ckpt", weights_only=True)["epoch"] == 1
        assert (output / "best.ckpt").is_file()
        said = capsys.readouterr().err
        assert "1 of 8 videos of training could not be read; others took their places" in said
        assert "1 of 2 videos of validation could not be read" in said
        assert "1 of 2 videos of validation are trained on too" in caplog.text


@pytest.mark.parametrize("side", ["training", "validation"])
def test_a_list_of_broken_videos_is_one_error(
    side: str, folder: Path, configuration: Callable, tmp_path: Path
) -> None:
    (tmp_path / "val").mkdir()
    for name in ("early", "late"):
        (tmp_path / "val" / name).mkdir()
        (tmp_path / "val" / name / "torn.mp4").write_bytes(b"broken")
    values = configuration(folder, tmp_path / "run", max_epochs=1)
    del values["data"]["validation_fraction"]
    values["data"]["cache_frames"] = False
    if side == "validation":
        values["data"]["validation"] = str(tmp_path / "val")
    else:
        values["data"]["annotations"] = str(tmp_path / "val")
        values["data"]["batch_size"] = 1
    with pytest.raises(UnreadableVideosError, match=r"2 videos cannot be read.*torn\.mp4"):
        run(tmp_path / "train.yaml", values)


def test_a_loss_that_is_no_number_is_one_line(
    folder: Path, configuration: Callable, tmp_path: Path, capsys
) -> None:
    values = configuration(folder, tmp_path / "run", max_epochs=2, num_sanity_val_steps=0)
    values["optimisation"] |= {"optimiser": "sgd", "learning_rate": 1e20}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(values))
    assert main(["train", "--config", str(tmp_path / "train.yaml")]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(
        "vidattn: training step 2, epoch 0: the loss is nan; videos of the batch"
    )
    assert not list((tmp_path / "run").glob("*.ckpt"))


def test_weights_that_became_nan_in_the_last_step_are_not_saved(
    folder: Path, configuration: Callable, tmp_path: Path, monkeypatch, capsys
) -> None:
    """One step, whose loss was a number: only validation or the checkpoint can tell."""

    def spoiling(self, epoch, index, optimizer, closure):
        optimizer.step(closure)
        self.recogniser.head.bias.data[0] = float("nan")

    monkeypatch.setattr(RecognitionTask, "optimizer_step", spoiling)
    for fraction in (0.25, None):
        output = tmp_path / f"{fraction}"
        values = configuration(folder, output, max_epochs=1)
        values["data"] |= {"validation_fraction": fraction, "batch_size": 6}
        (tmp_path / "train.yaml").write_text(yaml.safe_dump(values))
        assert main(["train", "--config", str(tmp_path / "train.yaml")]) == 1
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert ("class scores" in line) if fraction else ("weights after step 1" in line)
        assert not list(output.glob("*.ckpt"))
