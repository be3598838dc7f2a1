"""Runs read their checkpoint once, where it is used, and before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidattn import models
from vidattn.errors import ArgumentError, CheckpointError
from vidattn.jobs import evaluate, write_features, write_keyframes
from vidattn.runs.run_network import device_kind, loaded_here, to_share

Run = Callable[..., Any]


def key_frames(checkpoint: Any, videos: Path, output: Path, **settings: Any) -> Any:
    return write_keyframes([videos], output, checkpoint=checkpoint, count=2, **settings)


def features(checkpoint: Any, videos: Path, output: Path, **settings: Any) -> Any:
    return write_features(checkpoint, [videos], output, progress=False, **settings)


def evaluation(checkpoint: Any, videos: Path, output: Path, **settings: Any) -> Any:
    return evaluate(checkpoint, videos, output=output, views=1, progress=False, **settings)


every_run = pytest.mark.parametrize("run", [key_frames, features, evaluation])


@every_run
def test_a_checkpoint_is_read_once(
    run: Run, untrained: Path, class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, devices = models.load, []

    def counted(path: str | Path, *, device: str = "cpu") -> models.LoadedRecogniser:
        devices.append(device)
        return load(path, device=device)

    monkeypatch.setattr(models, "load", counted)
    run(untrained, class_folders, tmp_path / "out", device="cpu:0", processes=0)
    assert devices == ["cpu:0"]
    run(load(untrained), class_folders, tmp_path / "other")
    assert len(devices) == 1


@every_run
def test_what_cannot_be_used_is_refused_before_anything_is_done(
    run: Run, untrained: Path, class_folders: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with pytest.raises(ArgumentError, match="device: 'nonsense' cannot be used here"):
        run(untrained, class_folders, output, device="nonsense")
    with pytest.raises(CheckpointError, match=r"absent\.ckpt"):
        run(tmp_path / "absent.ckpt", class_folders, output)
    with pytest.raises(ArgumentError, match="processes: expected the checkpoint as a file"):
        run(models.load(untrained), class_folders, output, processes=2)
    assert not output.exists()


def test_processes_get_the_file(untrained: Path) -> None:
    loaded = loaded_here(untrained, "cpu:1", 2)  # others will use that device
    assert loaded.digest == models.load(untrained).digest
    assert to_share(untrained, loaded, 1) == str(untrained)
    assert to_share(untrained, loaded, 0) is loaded
    kinds = [device_kind(model, "cuda:1") for model in (None, str(untrained), loaded)]
    assert kinds == ["cuda", "cuda", "cpu"]
