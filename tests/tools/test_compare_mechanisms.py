from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    import compare_mechanisms

    return compare_mechanisms


def test_every_arm_builds_and_begins_as_the_network_without(tool: ModuleType) -> None:
    clip = torch.randn(1, 3, 32, 56, 56)
    for arm in tool.ARMS:
        torch.manual_seed(0)
        network = tool.network(arm)
        assert len(network.inserted) == (tool.ARMS[arm] is not None)
        with torch.inference_mode():
            features = network.backbone(clip)
        if arm == tool.NOTHING:
            expected = features
        assert torch.equal(features, expected)


def test_figures_are_means_over_seeds_beside_the_network_without(tool: ModuleType) -> None:
    def run(arm: str, seed: int, hits: list[float]) -> dict:
        figures = dict.fromkeys((*tool.FIGURES, "uniform", "centre"), hits)
        return {"arm": arm, "seed": seed, "training_cpu_seconds": 1.0, **figures}

    runs = [
        run("none", 0, [1.0, 0.0, 0.0, 0.0]),
        run("none", 1, [1.0, 1.0, 0.0, 0.0]),
        run("channel", 0, [1.0, 1.0, 1.0, 0.0]),
        run("channel", 1, [1.0, 1.0, 0.0, 0.0]),
    ]
    found = tool.summarise(runs)
    assert found["none"]["top1"]["by_seed"] == [0.25, 0.5]
    assert found["none"]["top1"]["mean"]["mean"] == 0.375
    assert "minus_none" not in found["none"]["top1"]
    pair = found["channel"]["top1"]["minus_none"]
    assert pair["mean"] == 0.25
    assert pair["low"] <= 0.25 <= pair["high"]
    # An arm of fewer seeds is compared with the same ones.
    fewer = tool.summarise(runs[:3])
    assert fewer["channel"]["top1"]["minus_none"]["mean"] == 0.5


def test_figures_of_videos(tool: ModuleType) -> None:
    scores = np.zeros(10)
    scores[[2, 5, 8]] = 3, 2, 1
    row = {
        "label": "b",
        "size": [8, 8],
        "class_scores": [0.2, 0.8],
        "truth": {"start_frame": 4, "end_frame": 7, "boxes": [[0, 0, 4, 4]] * 3},
        "attention": {
            "scores": scores.tolist(),
            "points": [[1, 1]] * 5 + [[7, 7]] * 5,
            "boxes": [[0, 0, 4, 4]] * 10,
        },
    }
    found = tool.video_figures({"classes": ["a", "b"], "videos": [row], "failures": {}})
    assert found["top1"] == [1.0]
    assert found["keyframe_precision"] == [pytest.approx(1 / 3)]
    assert found["pointing_game"] == [pytest.approx(1 / 3)]  # frame 4 of 4, 5, 6
    assert found["centre"] == [1.0]
