"""The figures of the comparison of key frames, on films small enough to work out by hand."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.inference.test_key_frame_options import write
from tests.selection.test_coverage import scenes
from vidattn.data.actions import read_actions
from vidattn.video import open_video

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NAMES = ("keyframe_choices", "keyframe_worth", "insert_actions", "join_shots")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    for folder in ("bench", "shots"):
        monkeypatch.syspath_prepend(str(TOOLS / folder))
    yield {name: importlib.import_module(name) for name in NAMES}
    for name in NAMES:
        sys.modules.pop(name, None)


def test_every_tool_gives_the_number_that_is_wanted(tools: dict[str, ModuleType]) -> None:
    fitted, middles = (getattr(tools["keyframe_choices"], name) for name in ("fitted", "middles"))
    assert fitted([9, 1, 5, 3, 7, 1], 10, 5) == [1, 3, 5, 7, 9]
    assert fitted(range(100), 100, 4) == [12, 37, 62, 87]
    assert fitted([10], 100, 3) == [10, 32, 55]  # between 10 and the end, then the larger half
    assert fitted([], 3, 5) == [0, 1, 2]
    assert middles([[0, 10], [10, 40], [40, 44]], 2) == [5, 25]
    assert middles([[0, 10], [10, 40]], 4) == [5, 15, 25, 35]


def test_figures_of_a_film_whose_frames_are_known(tools: dict[str, ModuleType]) -> None:
    worth = tools["keyframe_worth"]
    directions = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 1, 1, 2, 2]]
    film = worth.Film(
        path=Path("film.mp4"),
        features=directions,
        contrast=np.array([9, 1, 9, 9, 9, 9, 9, 9], np.float32),
        gradients=np.array([3, 3, 3, 9, 9, 2, 5, 5], np.float32),
        seconds=np.arange(8) / 25,
        shots=worth.known_shots({"frames": 8, "hard_cuts": [2], "gradual": [[6, 6]]}),
        count=3,
    )
    assert film.shots.tolist() == [[0, 3], [3, 6], [7, 8]]
    # Frame 1 is blank, frame 5 blurred, 6 in the transition; 6 and 7 have a distance of 1 to both.
    found = worth.figures(film, [0, 1, 5])
    assert found == pytest.approx(
        {"distance": 2 / 8, "copies": 1 / 3, "poor": 2 / 3, "shots": 2 / 3, "between": 0}
    )
    found = worth.figures(film, [0, 3, 6])
    assert found == pytest.approx(
        {"distance": 0, "copies": 0, "poor": 0, "shots": 2 / 3, "between": 1 / 3}
    )
    with pytest.raises(SystemExit, match="expected 3 frames"):
        worth.figures(film, [0, 0, 3])


@pytest.mark.parametrize("seed", [0, 1])
def test_reels_hold_the_action_where_they_say(
    tools: dict[str, ModuleType], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames that move most are those of the inserted clip."""
    tool = tools["insert_actions"]
    rows = []
    for number in range(8):
        moving = np.roll(np.repeat(scenes([1], seed=number), 12, axis=0), number, axis=2)
        for place in range(12):
            moving[place] = np.roll(moving[place], 3 * place, axis=1)
        write(tmp_path / f"{number}.mp4", moving)
        rows.append((f"{number}.mp4", "roll", f"source {number}"))
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    monkeypatch.setattr(tool, "QUIET_SECONDS", (0.5, 1.0))
    command = ["insert_actions.py", str(tmp_path / "clips.csv"), str(tmp_path / "reels")]
    monkeypatch.setattr(sys, "argv", [*command, "--films", "3", "--seed", str(seed)])
    tool.main()
    videos = read_actions(tmp_path / "reels" / "actions.json", boxes=False)
    assert [video.name[:4] for video in videos] == ["held", "stil", "pan0"]
    assert {int(video.group[-1]) % 2 for video in videos} == {seed}
    for video in videos:
        [action] = video.actions
        with open_video(video.path) as reader:
            frames = np.concatenate([each.array for each in reader]).astype(np.int16)
        assert (
            len(frames)
            == json.loads((tmp_path / "reels" / "actions.json").read_text())["videos"][
                videos.index(video)
            ]["frames"]
        )
        steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        moving = np.sort(np.argsort(-steps)[:11]) + 1
        assert moving.min() >= action.start_frame
        assert moving.max() <= action.end_frame
        assert action.end_frame - action.start_frame == 12
