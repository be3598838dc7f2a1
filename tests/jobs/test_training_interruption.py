"""A training that was interrupted goes on to the very weights of one that was not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from vidattn.cli.entry import main
from vidattn.jobs.train import train_with
from vidattn.models import load
from vidattn.training import RecognitionTask, VideoDataModule
from vidattn.training.interruption import TrainingInterrupted


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load(path).recogniser.state_dict()


def send_at(monkeypatch: pytest.MonkeyPatch, step: str, call: int, number: int) -> None:
    """Send this process a signal in the middle of the n-th call of a step, from 0."""
    inner, calls = getattr(RecognitionTask, step), []

    def stepping(self, batch, index):
        calls.append(index)
        if len(calls) == call + 1:
            os.kill(os.getpid(), number)
        return inner(self, batch, index)

    monkeypatch.setattr(RecognitionTask, step, stepping)


def interrupted(arguments: list[str]) -> TrainingInterrupted:
    with pytest.raises(TrainingInterrupted) as caught:
        train_with(arguments)
    return caught.value


@pytest.fixture
def written(configuration: Callable, folder: Path, tmp_path: Path) -> Callable[..., list[str]]:
    def write(output: str, **changes: object) -> list[str]:
        values = configuration(folder, tmp_path / output, max_epochs=2, num_sanity_val_steps=0)
        values["trainer"]["logger"] = False
        values["trainer"] |= changes
        path = tmp_path / f"{output}.yaml"
        path.write_text(yaml.safe_dump(values))
        return ["--config", str(path)]

    return write


AVERAGE = {
    "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
    "init_args": {"decay": 0.5},
}


# Six training and two validation videos in batches of two: three steps and one validation an epoch.
@pytest.mark.parametrize(
    ("step", "call", "average"),
    [
        ("training_step", 1, False),
        ("validation_step", 0, True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("training_step", 2, False),
                ("training_step", 3, False),
                ("validation_step", 0, False),
                ("training_step", 1, True),
                ("training_step", 2, True),
                ("training_step", 3, True),
            )
        ),
    ],
)
def test_it_goes_on_as_if_nothing_had_been(
    step: str, call: int, average: bool, written, tmp_path: Path, monkeypatch
) -> None:
    more = ["--trainer.callbacks+", yaml.safe_dump(AVERAGE, default_flow_style=True).strip()]
    more = more if average else []
    train_with([*written("whole"), *more])
    with monkeypatch.context() as patch:
        send_at(patch, step, call, signal.SIGINT)
        interruption = interrupted([*written("parts"), *more])
    stopped = tmp_path / "parts" / "interrupted.ckpt"
    assert interruption.checkpoint == stopped
    steps_done = call + 1 if step == "training_step" else 3
    assert interruption.step == steps_done
    assert torch.load(stopped, weights_only=True)["global_step"] == steps_done
    train_with([*written("parts"), *more, "--resume", str(stopped)])
    whole, parts = weights(tmp_path / "whole/last.ckpt"), weights(tmp_path / "parts/last.ckpt")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert (tmp_path / "parts" / "best.ckpt").is_file()


def test_gathered_gradients_are_not_lost(written, tmp_path: Path, monkeypatch) -> None:
    train_with(written("whole", accumulate_grad_batches=2))
    with monkeypatch.context() as patch:
        send_at(patch, "training_step", 0, signal.SIGTERM)
        interruption = interrupted(written("parts", accumulate_grad_batches=2))
    assert interruption.step == 1
    stopped = str(interruption.checkpoint)
    train_with([*written("parts", accumulate_grad_batches=2), "--resume", stopped])
    whole, parts = weights(tmp_path / "whole/last.ckpt"), weights(tmp_path / "parts/last.ckpt")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_says_how_to_go_on(
    number: int, code: int, written, tmp_path: Path, monkeypatch, capfd
) -> None:
    before = signal.getsignal(number)
    send_at(monkeypatch, "training_step", 0, number)
    arguments = written("run")
    assert main(["train", *arguments, "--trainer.max_epochs=4", "--overwrite"]) == code
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert (tmp_path / "run" / "interrupted.ckpt").is_file()
    assert last == (
        "vidattn: interrupted in epoch 0, after step 1; go on with: vidattn train "
        f"--config {arguments[1]} --trainer.max_epochs=4 --resume"
    )
    assert signal.getsignal(number) == before


def test_a_second_signal_does_not_wait(written, tmp_path: Path, monkeypatch, capfd) -> None:
    inner = RecognitionTask.training_step

    def hung(self, batch, index):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return inner(self, batch, index)

    monkeypatch.setattr(RecognitionTask, "training_step", hung)
    assert main(["train", *written("run")]) == 130
    assert "no checkpoint was written" in capfd.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "run" / "interrupted.ckpt").exists()


def test_before_the_first_step_there_is_nothing_to_keep(
    written, tmp_path: Path, monkeypatch, capfd
) -> None:
    inner = VideoDataModule.setup

    def interrupted(self, stage):
        inner(self, stage)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(VideoDataModule, "setup", interrupted)
    # A shell's background jobs, and what they start, ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["train", *written("run")]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "no checkpoint was written" in capfd.readouterr().err.strip().splitlines()[-1]
