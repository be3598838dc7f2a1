from __future__ import annotations

import importlib.util
import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vidattn.data.actions import read_actions
from vidattn.jobs import attention_figures
from vidattn.models import LoadedRecogniser


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "tools" / "measure_attention.py"
    spec = importlib.util.spec_from_file_location("measure_attention", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(file: str, **changes: Any) -> dict[str, Any]:
    tube = {"start_frame": 20, "end_frame": 30, "boxes": [[60, 16, 84, 40]] * 10}
    return {"file": file, "width": 96, "height": 64, "frames": 48, "tubes": [tube]} | changes


def write(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps({"videos": entries}), encoding="utf-8")
    return path


def test_finds_a_flash_when_and_where_it_is(
    tool: ModuleType,
    loaded_brightness: LoadedRecogniser,
    write_flash: Callable[..., Path],
    tmp_path: Path,
) -> None:
    names = [write_flash(name).name for name in ("a_g01_c01.mp4", "a_g01_c02.mp4", "b_g01_c01.mp4")]
    path = write(tmp_path, *map(entry, names))
    parsed = Namespace(boxes=path, output=tmp_path / "out", count=2, minimum_gap_seconds=0.2)
    records = tool.measure_all(loaded_brightness, read_actions(path), parsed)
    for record in records:
        assert record["share_with_action"] == pytest.approx(10 / 48)
        assert record["keyframe_precision"]["attention"] == 1
        assert record["keyframe_precision"]["best possible"] == 1
        assert record["keyframe_precision"]["random"] == pytest.approx(10 / 48)
        assert record["keyframe_precision"]["shuffled"] < 0.6
        assert record["pointing_game"]["attention"] == 1
        assert record["pointing_game"]["centre"] == 0  # x = 48 is left of the box
        assert record["box_iou"]["attention"] > 2 * record["box_iou"]["shuffled"]

    sources = [tool.source(name, ".*_g[0-9]+") for name in names]
    assert sources == ["a_g01", "a_g01", "b_g01"]
    figures = attention_figures.summarise_attention(records, sources, tool.TASKS)
    assert (figures["box_iou"].videos, figures["box_iou"].groups) == (3, 2)
    gain = figures["keyframe_precision"].attention_minus["random"]
    assert gain.mean == pytest.approx(38 / 48)
    tool.show({"figures": {n: f.to_json() for n, f in figures.items()}, "videos": records})

    with Image.open(tmp_path / "out" / "a_g01_c01" / "overlay.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    # The best frame's panel: the true box's outline is yellow, in its place.
    yellow = (np.abs(pixels - (255, 241, 47)).max(2) < 4).any(0)
    assert yellow.any()
    for name in ("keyframes.jpg", "keyframes_coverage.jpg"):
        assert (tmp_path / "out" / "a_g01_c02" / name).is_file()
