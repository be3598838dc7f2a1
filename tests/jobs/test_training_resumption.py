"""Only a checkpoint of the very same training is gone on from; all others say what differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from vidattn.cli.entry import main
from vidattn.models import load, save

# All tensors have the same shapes.
OTHER_STRIDES = '{"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}'


@pytest.fixture
def resume(configuration: Callable, folder: Path, tmp_path: Path, capsys) -> Callable:
    """Trains an epoch, then tries to go on with changed values; gives code and last line."""
    values = configuration(folder, tmp_path / "run", max_epochs=1, num_sanity_val_steps=0)
    values["trainer"]["logger"] = False
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    assert main(["train", "--config", str(path)]) == 0
    trained = tmp_path / "run" / "last.ckpt"

    def run(*more: str, checkpoint: Path = trained) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["train", "--config", str(path), "--resume", str(checkpoint), *more])
        return code, ("", *capsys.readouterr().err.strip().splitlines())[-1]

    run.trained = trained
    run.folder = folder
    return run


def test_what_differs_is_named(resume) -> None:
    average = {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging"}
    insertion = '[{"mechanism": "squeeze_excitation", "stage": "layer1"}]'
    other_network = ("--model.backbone_settings", "{}", "--model.attention", "[]")
    cases = {
        ("--clip.frames", "4"): "clip.frames is 8 there, 4 here",
        ("--clip.crop_size", "24"): "clip.crop_size is 32 there, 24 here",
        ("--clip.frame_stride", "1"): "clip.frame_stride is 2 there, 1 here",
        ("--clip.aspect", "stretch"): 'clip.aspect is "keep" there, "stretch" here',
        ("--model.pooling", "temporal"): 'model.pooling is "joint" there, "temporal" here',
        ("--model.attention", "[]"): "model.attention is [{",
        ("--model.attention", insertion): "model.attention is [{",
        ("--model.backbone_settings", OTHER_STRIDES): "model.backbone_settings is {",
        ("--model.backbone", "r3d_18", *other_network): 'model.backbone is "slim" there, "r3d_18"',
        ("--optimisation.optimiser", "sgd"): "optimisation.optimiser is adamw there, sgd here",
        ("--optimisation.frozen_stages", "[stem]"): "optimisation.frozen_stages",
        ("--trainer.callbacks+", json.dumps(average)): "a moving average of the weights",
    }
    for more, said in cases.items():
        code, line = resume(*more)
        assert code == 1
        assert line.startswith(f"vidattn: {resume.trained}: cannot go on with another training")
        assert said in line
        assert "--model.weights" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"late": "dusk"}, "classes differ (2 there, 2 here; gone: late; new: dusk)"),
        ({"early": "zoom"}, "gone: early; new: zoom"),
        ({"late": None}, "classes differ (2 there, 3 here; new: never, often; gone: late)"),
    ],
)
def test_other_classes(resume, change: dict, said: str) -> None:
    for old, new in change.items():
        source = resume.folder / old
        if new is None:
            (resume.folder / "never").mkdir()
            (source / "0.mp4").rename(resume.folder / "never" / "0.mp4")
            (source / "1.mp4").rename(resume.folder / "never" / "1.mp4")
            source.rename(resume.folder / "often")
        else:
            source.rename(resume.folder / new)
    code, line = resume()
    assert code == 1
    assert all(part in line for part in said.rstrip(")").split("; "))


def test_another_order_of_the_same_classes(resume) -> None:
    state = torch.load(resume.trained, weights_only=True)
    described = json.loads(state["vidattn"])
    described["spec"]["classes"].reverse()
    state["vidattn"] = json.dumps(described)
    torch.save(state, resume.trained)
    code, line = resume()
    assert code == 1
    assert "classes are in another order (late, early there, early, late here)" in line


def test_files_that_are_no_training(resume, tmp_path: Path) -> None:
    whole = resume.trained.read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    found = load(resume.trained)
    save(tmp_path / "own.ckpt", found.recogniser, found.clip)
    state = torch.load(resume.trained, weights_only=True)
    next(iter(state["state_dict"].values())).fill_(float("nan"))
    torch.save(state, tmp_path / "nan.ckpt")
    cases = {
        "cut": "it is cut off or damaged",
        "empty": "the file is empty",
        "other": "not a vidattn checkpoint",
        "own": "holds a network but no state of a training",
        "nan": "1 tensors hold NaN or infinity (recogniser.",
        "absent": "no such checkpoint file",
    }
    for name, said in cases.items():
        code, line = resume(checkpoint=tmp_path / f"{name}.ckpt")
        assert code == 1
        assert line.startswith(f"vidattn: {tmp_path / name}.ckpt: {said}")
    assert resume(checkpoint=tmp_path)[1].endswith("a folder, not a file")


def test_what_may_be_set_anew(resume) -> None:
    more = [
        "--trainer.max_epochs",
        "2",
        "--model.dropout",
        "0.1",
        "--optimisation.label_smoothing",
        "0.1",
    ]
    code, line = resume(*more)
    assert code == 0
    assert line == ""
    assert torch.load(resume.trained, weights_only=True)["epoch"] == 1
