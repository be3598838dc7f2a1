"""Nothing of an earlier training is written over, whatever says where the new one writes."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from vidattn.cli.entry import main
from vidattn.errors import EarlierRunError
from vidattn.jobs.train import train_with

MODEL_CHECKPOINT = "pytorch_lightning.callbacks.ModelCheckpoint"


@pytest.fixture
def written(configuration: Callable, folder: Path, tmp_path: Path, monkeypatch) -> Callable:
    """Writes a configuration of one epoch; `callbacks` are settings of checkpoint callbacks."""
    monkeypatch.chdir(tmp_path)

    def write(callbacks: list[dict] | None = None, seed: int = 1, **trainer: object) -> list[str]:
        values = configuration(folder, tmp_path / "run", max_epochs=1, num_sanity_val_steps=0)
        values["seed_everything"] = seed
        if callbacks is not None:
            values["trainer"]["callbacks"] = [
                {"class_path": MODEL_CHECKPOINT, "init_args": settings} for settings in callbacks
            ]
        values["trainer"] |= trainer
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump(values))
        return ["--config", str(path)]

    return write


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


BEST = {"monitor": "validation/top1", "mode": "max"}
CSV = "pytorch_lightning.loggers.CSVLogger"
TENSORBOARD = "pytorch_lightning.loggers.TensorBoardLogger"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"callbacks": [{"dirpath": "run", "filename": "best", **BEST}]},
        {"callbacks": [{"dirpath": "run", "filename": "{epoch}-{validation/top1:.2f}", **BEST}]},
        {
            "callbacks": [
                {"dirpath": "run", "filename": "e{epoch:02d}", "auto_insert_metric_name": False}
            ]
        },
        {"callbacks": [{"dirpath": "a/b/../run"}]},
        {"callbacks": [{"dirpath": "run", "save_top_k": 0, "save_last": True}]},
        {"callbacks": [{}], "logger": False, "default_root_dir": "root"},
        {"callbacks": None, "logger": {"class_path": CSV, "init_args": {"save_dir": "logs"}}},
        {
            "enable_checkpointing": False,
            "callbacks": [],
            "logger": {"class_path": CSV, "init_args": {"save_dir": "logs", "version": 0}},
        },
        {
            "enable_checkpointing": False,
            "callbacks": [],
            "logger": {"class_path": TENSORBOARD, "init_args": {"save_dir": "l", "version": ""}},
        },
    ],
)
def test_a_second_training_is_refused(settings, written, tmp_path: Path, capsys) -> None:
    assert main(["train", *written(**settings)]) == 0
    before = files_of(tmp_path)
    assert main(["train", *written(seed=2, **settings)]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "earlier" in line]
    assert "--overwrite" in line
    after = files_of(tmp_path)
    assert {name: after[name] for name in before if name != "train.yaml"} == {
        name: content for name, content in before.items() if name != "train.yaml"
    }
    assert set(after) == set(before)


def test_overwriting_leaves_the_second_one_alone(written, tmp_path: Path) -> None:
    top = [{"dirpath": "run", "filename": "best", **BEST}, {"dirpath": "run", "filename": "x"}]
    train_with(written(callbacks=top, logger=False))
    shutil.copy("run/best.ckpt", "run/best-v1.ckpt")  # of a run before that
    (tmp_path / "run" / "notes.txt").write_text("a person's")
    (tmp_path / "run" / "bestfriend.ckpt").write_bytes(b"another name")
    first = torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)["state_dict"]
    train_with([*written(callbacks=top, logger=False, seed=2), "--overwrite"])
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "best.ckpt", "x.ckpt", "config.yaml", "notes.txt", "bestfriend.ckpt",
    }  # fmt: skip
    second = torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)["state_dict"]
    assert any(not torch.equal(first[name], second[name]) for name in first)
    configuration = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert configuration["seed_everything"] == 2
    assert configuration["overwrite"] is False


def test_a_persons_file_of_that_name_stays(written, tmp_path: Path, capsys) -> None:
    train_with(written())
    for name, content in (
        ("last.ckpt", b"three months of work"),
        ("interrupted.ckpt", b""),
        ("best.ckpt", (tmp_path / "run" / "best.ckpt").read_bytes()[:1000]),
    ):
        kept = (tmp_path / "run" / name).read_bytes() if name != "interrupted.ckpt" else None
        (tmp_path / "run" / name).write_bytes(content)
        before = files_of(tmp_path / "run")
        assert main(["train", *written(), "--overwrite"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"vidattn: run/{name}: this is in the way")
        assert files_of(tmp_path / "run") == before
        (tmp_path / "run" / name).unlink()
        if kept is not None:
            (tmp_path / "run" / name).write_bytes(kept)
    torch.save({"state_dict": {}, "epoch": 3}, "run/last.ckpt")  # another project's
    assert main(["train", *written(), "--overwrite"]) == 1
    assert torch.load("run/last.ckpt", weights_only=True)["epoch"] == 3


def test_going_on_is_allowed_where_it_began_and_nowhere_else(written, tmp_path: Path) -> None:
    best = {"filename": "best", **BEST}
    one = [{"dirpath": "one", "filename": "last"}, {"dirpath": "two", **best}]
    train_with(written(callbacks=one, logger=False))
    other = [{"dirpath": "three", "filename": "last"}]
    train_with(written(callbacks=other, logger=False))
    with pytest.raises(EarlierRunError, match=r"three: .*last\.ckpt"):
        train_with(
            [
                *written(callbacks=other, logger=False, max_epochs=2),
                "--resume",
                str(tmp_path / "one/last.ckpt"),
            ]
        )
    for given in (["one/last.ckpt"], []):
        more = "2" if given else "3"
        arguments = written(callbacks=one, logger=False)
        train_with([*arguments, "--resume", *given, "--trainer.max_epochs", more])
        assert torch.load("one/last.ckpt", weights_only=True)["epoch"] == int(more) - 1
        assert [path.name for path in Path("two").iterdir()] == ["best.ckpt"]
    # Each part of the training keeps its own configuration.
    assert len(list(Path("one").glob("config*.yaml"))) == 3


def test_a_folder_that_was_moved_keeps_its_best(written, tmp_path: Path) -> None:
    both = [{"dirpath": "run", "filename": "best", **BEST}, {"dirpath": "run", "filename": "last"}]
    train_with(written(callbacks=both, logger=False))
    shutil.move("run", "moved")
    state = torch.load("moved/last.ckpt", weights_only=True)
    name = next(key for key in state["callbacks"] if "validation/top1" in key)
    state["callbacks"][name]["best_model_score"] = torch.tensor(2.0)
    kept = state["callbacks"][name]["best_k_models"]
    state["callbacks"][name]["best_k_models"] = {key: torch.tensor(2.0) for key in kept}
    state["callbacks"][name]["kth_value"] = torch.tensor(2.0)
    torch.save(state, "moved/last.ckpt")
    before = Path("moved/best.ckpt").read_bytes()
    moved = [each | {"dirpath": "moved"} for each in both]
    arguments = written(callbacks=moved, logger=False, max_epochs=2)
    train_with([*arguments, "--resume", "moved/last.ckpt"])
    # No epoch can be better than two times everything.
    assert Path("moved/best.ckpt").read_bytes() == before
    assert sorted(path.name for path in Path("moved").glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]


def test_a_configuration_of_a_persons_is_not_touched(written, tmp_path: Path) -> None:
    arguments = written(callbacks=[{"dirpath": "."}], logger=False)
    shutil.move("train.yaml", "config.yaml")
    before = Path("config.yaml").read_bytes()
    for more in ([], ["--overwrite"]):
        train_with([arguments[0], "config.yaml", *more])
        assert Path("config.yaml").read_bytes() == before
    assert Path("config-1.yaml").is_file()


def test_the_place_of_the_checkpoints_is_said(written, tmp_path: Path, capsys) -> None:
    assert main(["train", *written()]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert re.fullmatch(
        r"trained 1 epochs, 3 steps: top-1 (0|50|100)\.0% on 2 validation videos after epoch 1 "
        r"\(chance 50\.0%, most frequent class 50\.0%\)",
        lines[0],
    )
    assert lines[1:3] == ["checkpoints: run/best.ckpt, run/last.ckpt", "next:"]
    assert [line.split()[:2] for line in lines[3:]] == [
        ["vidattn", "predict"],
        ["vidattn", "keyframes"],
    ]


@pytest.mark.slow
def test_what_is_said_to_type_next_works(written, tmp_path: Path) -> None:
    for line in train_with(written()).next_commands:
        command = shlex.split(line)
        assert command[0] == "vidattn"
        assert main(command[1:]) == 0
    assert list((tmp_path / "run" / "keyframes").glob("*.json"))


def test_nothing_is_deleted_for_a_training_that_cannot_begin(written, tmp_path: Path) -> None:
    train_with(written())
    before = files_of(tmp_path / "run")
    for wrong in (["--data.annotations", "nowhere"], ["--model.backbone", "slimm"]):
        assert main(["train", *written(), "--overwrite", *wrong]) == 1
    assert files_of(tmp_path / "run") == before
