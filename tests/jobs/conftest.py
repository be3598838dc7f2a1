from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def folder(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """Two classes: a flash early, a flash late."""
    for label, first in (("early", 2), ("late", 11)):
        for number in range(4):
            span = (first + number % 2, first + number % 2 + 3)
            write_flash(
                f"videos/{label}/{number}.mp4",
                frame_count=16,
                size=(32, 32),
                span=span,
                box=(4 + 4 * number, 8, 16 + 4 * number, 20),
            )
    return tmp_path / "videos"


def _configuration(folder: Path, output: Path, **trainer: object) -> dict[str, object]:
    best = {"dirpath": str(output), "filename": "best", "monitor": "validation/top1", "mode": "max"}
    last = {"dirpath": str(output), "filename": "last", "enable_version_counter": False}
    return {
        "seed_everything": 1,
        "trainer": {
            "max_epochs": 3,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": [
                {
                    "class_path": "pytorch_lightning.loggers.CSVLogger",
                    "init_args": {"save_dir": str(output), "name": "csv"},
                },
                {
                    "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
                    "init_args": {"save_dir": str(output), "name": "tensorboard"},
                },
            ],
            "callbacks": [
                {
                    "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
                    "init_args": settings,
                }
                for settings in (best, last)
            ],
            **trainer,
        },
        "model": {
            "backbone": "slim",
            "backbone_settings": {
                "widths": [4, 8],
                "spatial_strides": [2, 2],
                "temporal_strides": [1, 2],
            },
            "attention": [
                {"mechanism": "squeeze_excitation", "stage": "stem", "settings": {"reduction": 2}}
            ],
            "learning_rate": 0.01,
        },
        "data": {
            "annotations": str(folder),
            "validation_fraction": 0.25,
            "batch_size": 2,
            "cache_frames": True,
            "clip": {"frames": 8, "frame_stride": 2, "short_side": 32, "crop_size": 32},
        },
    }


@pytest.fixture
def configuration() -> Callable[..., dict]:
    """Makes the configuration of a short training: (folder of videos, output, trainer's keys)."""
    return _configuration
