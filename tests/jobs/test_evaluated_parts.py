"""Evaluations of lists whose samples are parts of videos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import vidattn
from vidattn.jobs import compare
from vidattn.jobs.clip_scores import spread
from vidattn.models import LoadedRecogniser


@pytest.fixture
def halves(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """Two videos, dark for a second and then bright; one part is beyond the end."""
    rows = ["path,label,start,end"]
    for name in ("one.mp4", "two.mp4"):
        write_flash(name, frame_count=50, span=(25, 50), box=(0, 0, 96, 64))
        rows += [f"{name},dark,0,1", f"{name},bright,1,2"]
    path = tmp_path / "parts.csv"
    path.write_text("\n".join([*rows, "two.mp4,dark,5,6"]) + "\n", encoding="utf-8")
    return path


def test_each_part_is_a_sample_of_its_own(
    halves: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    loaded_brightness.recogniser.head.bias.data[0] += 10.0  # dark, unless brighter than a half
    output = tmp_path / "out"
    for batch_size in (1, 8):
        found = vidattn.evaluate(
            loaded_brightness,
            halves,
            views=2,
            batch_size=batch_size,
            output=output / str(batch_size),
            progress=False,
        )
        assert found is not None
        assert found.figures["video_top1"] == found.figures["clip_top1"] == 1.0
        record = json.loads((output / str(batch_size) / "evaluation.json").read_text())
        assert [video["video"] for video in record["videos"]] == [
            *("one.mp4#t=0,1", "one.mp4#t=1,2", "two.mp4#t=0,1", "two.mp4#t=1,2"),
        ]
        for video in record["videos"]:
            frames = {index for view in video["indices"] for index in spread(view)}
            assert frames <= set(range(25) if "#t=0,1" in video["video"] else range(25, 50))
        [failure] = record["failures"]
        name, reason = failure["video"], failure["reason"]
        assert name.endswith("two.mp4#t=5,6")
        assert "the video ends at 2 s" in reason
        assert "line 6" in reason


def test_parts_are_compared_one_by_one(
    halves: Path, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        vidattn.evaluate(loaded_brightness, halves, output=tmp_path / name, progress=False)
    found = compare(tmp_path / "a" / "evaluation.json", tmp_path / "b" / "evaluation.json")
    assert found.videos == 4
    assert found.difference == 0
