from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import bench_loader

    yield bench_loader
    for name in ("bench_loader", "loader_contestants", "loader_films"):
        sys.modules.pop(name, None)


def contestant(tool, rates, milliseconds):
    return tool.Contestant(None, 1, [], list(rates), list(milliseconds))


def test_ratios_are_taken_within_rounds_and_over_the_best(tool):
    contestants = {
        "ours": contestant(tool, [20, 2, 8], [10, 10, 10]),  # a machine that slows for a round
        "slow": contestant(tool, [5, 0.5, 2], [90, 90, 90]),
        "best": contestant(tool, [10, 1, 4], [15, 15, 15]),
    }
    found = tool.compare(contestants, "ours", ["slow", "best"])
    assert found["over"] == "best"
    assert found["clips_per_second"] == [2.0, 2.0, 2.0]
    assert found["clips_per_processor_second"] == [1.5, 1.5, 1.5]


def test_sources_come_from_all_folders_in_turn(tool):
    import loader_films

    sources = [Path(f"/{folder}/{number}.mp4") for folder in "ab" for number in range(6)]
    chosen = loader_films._spread(sources, 4)
    assert [path.parent.name for path in chosen] == ["a", "b", "a", "b"]
    assert [path.stem for path in chosen] == ["0", "0", "3", "3"]
    assert loader_films._spread([], 4) == []


def test_a_short_source_runs_there_and_back(tool, tmp_path, monkeypatch):
    import loader_films

    from vidattn.video import VideoWriter, open_video

    source = tmp_path / "short.mp4"
    with VideoWriter(source, fps=30, size=(32, 48), crf=10, preset="ultrafast") as writer:
        for number in range(5):
            writer.write(np.full((32, 48, 3), 40 * number + 20, np.uint8))
    monkeypatch.setattr(loader_films, "FRAMES", 12)
    (film,) = loader_films.write_films([source], tmp_path / "films", 1)
    with open_video(film) as reader:
        assert (len(reader), reader.size) == (12, (256, 340))
        pixels = reader.frames_at(range(12)).pixels.float()
    levels = ((pixels.mean((1, 2, 3)) - 20) / 40).round().int().tolist()
    assert levels == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]
