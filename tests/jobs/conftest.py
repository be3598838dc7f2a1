from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidattn.data import ClipSpec
from vidattn.models import Recogniser, RecogniserSpec, save

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A checkpoint of random weights that tells "bright" from "dark" by chance only."""
    torch.manual_seed(0)
    spec = RecogniserSpec(classes=("dark", "bright"), backbone_settings=SLIM)
    clip = ClipSpec(frames=8, short_side=32, crop_size=32)
    save(tmp_path / "untrained.ckpt", Recogniser(spec), clip)
    return tmp_path / "untrained.ckpt"


@pytest.fixture
def class_folders(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """Seven videos of different lengths, one of them broken, in two class folders."""
    for number in range(3):
        write_flash(f"videos/bright/{number}.mp4", frame_count=12 + 5 * number, span=(0, 40))
        write_flash(f"videos/dark/{number}.mp4", frame_count=30 - 4 * number, span=(0, 0))
    (tmp_path / "videos" / "bright" / "broken.mp4").write_bytes(b"no video")
    return tmp_path / "videos"
