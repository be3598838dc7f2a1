"""Every configuration that comes with the project can be built as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vidattn.training.command_line import build
from vidattn.training.quiet import quiet_trainer

PROJECT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = sorted([*PROJECT.glob("configs/*.yaml"), *PROJECT.glob("vidattn/jobs/*.yaml")])

# Of networks that take seconds for one batch.
LARGE = {"finetune"}


def test_there_are_configurations() -> None:
    assert len(CONFIGURATIONS) >= 4


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.stem in LARGE else [], id=path.stem)
        for path in CONFIGURATIONS
    ],
)
def test_it_builds_and_one_batch_goes_through(
    path: Path,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["path,label,group,fold"]
    for number in range(8):
        label = ("run", "jump")[number % 2]
        write_flash(f"{number}.mp4", frame_count=20, size=(32, 48), box=(4, 4, 20, 20))
        rows.append(f"{number}.mp4,{label},{number // 2},{number // 4}")
    (tmp_path / "videos.csv").write_text("\n".join(rows) + "\n")
    with quiet_trainer():
        built = build(
            [
                *("--config", str(path)),
                *("--data.annotations", "videos.csv"),
                *("--data.workers", "0"),
                *("--model.weights", "null"),
                *("--trainer.accelerator", "cpu"),
                *("--trainer.precision", "32-true"),
            ]
        )
    built.datamodule.setup("fit")
    batch = next(iter(built.datamodule.train_dataloader()))
    batch.pixels = built.datamodule.evaluation_transform(batch.pixels)
    recognition = built.model(batch.pixels, batch.valid)
    assert recognition.logits.shape == (len(batch), 2)
    assert recognition.logits.isfinite().all()
