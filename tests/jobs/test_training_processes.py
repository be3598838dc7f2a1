"""Several processes that train together: all take the same steps and stop at the same one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="no gloo"),
]
SECONDS = 200


@pytest.fixture
def start(configuration: Callable, folder: Path, tmp_path: Path) -> Callable:
    def run(**changes: object) -> subprocess.Popen[str]:
        values = configuration(folder, tmp_path / "run", max_epochs=2, devices=2, strategy="ddp")
        values["trainer"]["logger"] = False
        values["trainer"] |= changes.pop("trainer", {})
        values["data"] |= {"batch_size": 1, **changes.pop("data", {})}
        values["optimisation"] |= changes
        (tmp_path / "train.yaml").write_text(yaml.safe_dump(values))
        command = [
            str(Path(sys.executable).with_name("vidattn")),
            "train",
            "--config",
            "train.yaml",
        ]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return run


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        _, said = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the other process too
        raise
    return process.returncode, said


def test_broken_videos_on_one_side(start, folder: Path, tmp_path: Path) -> None:
    (folder / "late" / "0.mp4").write_bytes(b"broken")
    for number, content in enumerate((b"torn", (folder / "late/1.mp4").read_bytes())):
        (tmp_path / "val" / "late").mkdir(parents=True, exist_ok=True)
        (tmp_path / "val" / "late" / f"{number}.mp4").write_bytes(content)
    code, said = ended(
        start(data={"validation": str(tmp_path / "val"), "validation_fraction": None})
    )
    assert code == 0, said
    assert {path.name for path in (tmp_path / "run").glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    assert torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"] == 8


def test_a_loss_that_is_no_number(start, tmp_path: Path) -> None:
    code, said = ended(start(optimiser="sgd", learning_rate=1e20))
    assert code == 1, said
    assert "the loss is" in said or "class scores are" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "run").glob("*.ckpt"))


def test_ctrl_c(start, tmp_path: Path) -> None:
    process = start(trainer={"max_epochs": 100_000})
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / "run" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    code, said = ended(process)
    assert code == 130, said
    assert said.strip().splitlines()[-1].endswith(" --config train.yaml --resume")
    assert torch.load(tmp_path / "run/interrupted.ckpt", weights_only=True)["global_step"] > 0
