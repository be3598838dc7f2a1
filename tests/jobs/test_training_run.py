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
from vidattn.errors import ArgumentError
from vidattn.models import load

# Lightning remarks on resumed folders, few workers and its own dependencies.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning_utilities"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning"),
]


def run(path: Path, values: dict[str, object], *more: str) -> None:
    path.write_text(yaml.safe_dump(values))
    vidattn.train(["--config", str(path), *more])


def test_train_resume_and_load(folder: Path, configuration: Callable, tmp_path: Path) -> None:
    output = tmp_path / "run"
    values = configuration(folder, output)
    run(tmp_path / "train.yaml", values)
    assert {"best.ckpt", "last.ckpt", "csv", "tensorboard"} <= {p.name for p in output.iterdir()}
    with (output / "csv" / "version_0" / "metrics.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"train/loss", "validation/loss", "validation/top1"} <= set(columns)

    found = load(output / "last.ckpt")
    assert found.classes == ("early", "late")
    assert found.clip.frames == 8
    state = torch.load(output / "last.ckpt", weights_only=True)
    assert json.loads(state["vidattn"])["recogniser"]["backbone"] == "slim"
    assert state["epoch"] == 2

    values["trainer"]["max_epochs"] = 5  # type: ignore[index]
    run(tmp_path / "more.yaml", values, "--ckpt_path", str(output / "last.ckpt"))
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
    values["model"] |= {"frozen_stages": ["stem"], "layer_decay": 0.7}  # type: ignore[operator]
    values["data"] |= {"mixup_alpha": 0.4, "class_weighted_sampling": True}  # type: ignore[operator]
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
    values["trainer"]["callbacks"].pop(0)  # type: ignore[index]
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
    values["trainer"]["callbacks"].pop(0)  # type: ignore[index]
    values["data"] |= {  # type: ignore[operator]
        "annotations": str(annotations),
        "multi_label": True,
        "mixup_alpha": 0.4,
        "class_weighted_sampling": True,
    }
    run(tmp_path / "train.yaml", values)
    with (output / "csv" / "version_0" / "metrics.csv").open() as file:
        assert "validation/mean_average_precision" in next(csv.reader(file))
    found = vidattn.evaluate(output / "last.ckpt", annotations, progress=False)
    assert found.classes == ("early", "even", "late", "odd")
    assert found.labels.sum() == 16
    assert 0 <= found.figures["video_mean_average_precision"] <= 1
