from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import repeat_demo

    yield repeat_demo
    for name in ("repeat_demo", "measure_attention"):
        sys.modules.pop(name, None)


def test_a_spread_is_mean_deviation_and_range(tool) -> None:
    found = tool.spread([0.2, 0.4, 0.9])
    assert found["mean"] == pytest.approx(0.5)
    assert found["deviation"] == pytest.approx(np.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert (found["lowest"], found["highest"]) == (0.2, 0.9)
    assert tool.spread([0.3])["deviation"] == 0.0


def test_real_videos_are_averaged_over_trainings_and_paired_by_video(tool) -> None:
    def video(share: float, attention: float, uniform: float) -> dict:
        figures = {"attention": attention, "uniform": uniform}
        return {"share_with_action": share} | dict.fromkeys(tool.REAL, figures)

    trainings = [
        [video(1.0, 1.0, 1.0), video(0.5, 0.2, 0.1), video(0.5, 0.2, 0.3)],
        [video(1.0, 0.8, 1.0), video(0.5, 0.4, 0.1), video(0.5, 0.4, 0.3)],
    ]
    found = tool.on_average(trainings, ["a", "b", "c"])
    whole, short = found["keyframe_precision"], found["keyframe_precision_short"]
    assert (whole["videos"], short["videos"], short["sources"]) == (3, 2, 2)
    assert whole["attention"]["over_trainings"]["mean"] == pytest.approx(0.5)
    # Video by video: 0.9 − 1.0, 0.3 − 0.1 and 0.3 − 0.3; then their mean.
    assert whole["uniform"]["attention_minus"][0] == pytest.approx(0.1 / 3)
    assert short["uniform"]["attention_minus"][0] == pytest.approx(0.1)
    assert "pointing_game_short" not in found
