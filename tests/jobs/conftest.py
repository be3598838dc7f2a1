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
    return {
        "output": str(output),
        "seed_everything": 1,
        "trainer": {
            "max_epochs": 3,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "callbacks": [],
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
        },
        "optimisation": {"learning_rate": 0.01},
        "data": {
            "annotations": str(folder),
            "validation_fraction": 0.25,
            "batch_size": 2,
            "cache_frames": True,
        },
        "clip": {"frames": 8, "frame_stride": 2, "short_side": 32, "crop_size": 32},
        "augmentation": {},
    }


@pytest.fixture
def configuration() -> Callable[..., dict]:
    """Makes the configuration of a short training: (folder of videos, output, trainer's keys)."""
    return _configuration
