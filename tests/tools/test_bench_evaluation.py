from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


def test_prints_what_an_evaluation_costs(
    write_flash: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path(__file__).resolve().parents[2] / "tools" / "bench_evaluation.py"
    spec = importlib.util.spec_from_file_location("bench_evaluation", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    arguments = ["--protocol", "timesformer-1x3", "--frames", "4", "--stride", "3"]
    monkeypatch.setattr("sys.argv", ["bench", str(write_flash()), *arguments, "--repeats", "1"])
    before = torch.get_num_threads()
    try:
        assert tool.main() == 0
    finally:
        torch.set_num_threads(before)
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 3
    assert found["frames_decoded"] == 4
    assert set(found["seconds"]) == {"decode", "forward", "evaluate", "ratio"}
