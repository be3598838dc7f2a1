from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn.cli.entry import main
from vidattn.data.actions import read_actions
from vidattn.data.synthetic import write_actions
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.jobs import attention_figures, evaluate_attention
from vidattn.models import LoadedRecogniser
from vidattn.runs.result_files import JOURNAL_FOLDER

TUBE = {"start_frame": 20, "end_frame": 30, "boxes": [[60, 16, 84, 40]] * 10}


def entry(file: str, **changes: Any) -> dict[str, Any]:
    known = {"file": file, "width": 96, "height": 64, "frames": 48, "tubes": [TUBE]}
    return known | changes


def write(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "actions.json"
    path.write_text(json.dumps({"videos": entries}), encoding="utf-8")
    return path


@pytest.fixture
def annotated(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """Three videos with a flash, two of one group, and a broken one."""
    entries = [entry(write_flash(f"{number}.mp4").name) for number in range(3)]
    entries[0]["group"] = entries[1]["group"] = "one source"
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    return write(tmp_path, *entries, entry("broken.mp4"))


def test_key_frames_stand_beside_what_needs_no_model(
    loaded_brightness: LoadedRecogniser, annotated: Path, tmp_path: Path
) -> None:
    found = evaluate_attention(
        loaded_brightness,
        annotated,
        count=2,
        minimum_gap_seconds=0.2,
        output=tmp_path / "out",
        progress=False,
    )
    assert found is not None
    assert set(found.figures) == {"keyframe_precision", "action_recall"}
    methods = found.figures["keyframe_precision"].methods
    assert methods["attention"] == (1.0, 1.0, 1.0)
    assert methods["best possible"].mean == 1
    assert methods["random"].mean == pytest.approx(10 / 48)
    assert methods["shuffled"].mean < 0.6
    assert {"coverage", "uniform", "difference"} < set(methods)
    recalls = found.figures["action_recall"].methods
    assert recalls["attention"].mean == 1
    # Two of 48 frames at random: neither is inside with (38 · 37) / (48 · 47).
    assert recalls["random"].mean == pytest.approx(1 - 38 * 37 / (48 * 47))
    assert found.figures["action_recall"].groups == 2
    assert (found.settings["videos_expected"], len(found.videos)) == (4, 3)
    assert [Path(each.video).name for each in found.failures] == ["broken.mp4"]
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert "state" not in written["videos"][0]
    assert written["videos"][0] == json.loads(json.dumps(found.videos[0].to_json()))
    assert written["keyframes_per_video"] == 2
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "Key frames inside the action" in page
    assert "broken.mp4" in page
    assert not (tmp_path / "out" / JOURNAL_FOLDER).exists()


def test_regions_stand_beside_the_centre(
    loaded_brightness: LoadedRecogniser, annotated: Path
) -> None:
    found = evaluate_attention(loaded_brightness, annotated, task="regions", progress=False)
    assert found is not None
    hits, overlaps = (found.figures[name].methods for name in ("pointing_game", "box_iou"))
    assert hits["attention"].mean == 1
    assert hits["centre"].mean == 0  # x = 48 is left of the box
    assert overlaps["attention"].mean > 2 * overlaps["shuffled"].mean


def test_shares_give_the_same_record(
    loaded_brightness: LoadedRecogniser,
    annotated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"task": "regions", "threads": 1, "progress": False}
    whole = evaluate_attention(loaded_brightness, annotated, **settings)
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    output = tmp_path / "out"
    shared = evaluate_attention(loaded_brightness, annotated, output=output, **settings)
    assert whole is not None
    assert shared is not None
    assert replace(shared, times={}) == replace(whole, times={})


def test_synthetic_truth_is_read_as_it_is_written(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_actions(tmp_path, clips_per_class={"test": 1}, size=(32, 32), frame_count=16)
    path = tmp_path / "truth.json"
    videos = read_actions(path)
    assert [video.name for video in videos] == [row.path for row in truth]
    assert videos[0].expected == {"width": 32, "height": 32, "frames": 16}
    content = json.loads(path.read_text())
    content["videos"] = content["videos"][:2]
    path.write_text(json.dumps(content))
    arguments = ["evaluate", str(untrained), "--task", "regions", "--data", str(path)]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert "pointing game, 2 videos" in capsys.readouterr().out
    assert main([*arguments, "--batch-size", "2", "--minimum-gap-seconds", "1"]) == 1
    assert (
        "--batch-size, --minimum-gap-seconds: not an option of the task regions"
        in capsys.readouterr().err
    )


def test_spans_without_boxes_are_enough_for_key_frames(tmp_path: Path) -> None:
    tubes = [{"start_frame": 2, "end_frame": 4}]
    path = write(tmp_path, entry("a.mp4", tubes=tubes), entry("b.mp4", tubes=tubes))
    assert [video.actions[0].end_frame for video in read_actions(path, boxes=False)] == [4, 4]
    with pytest.raises(AnnotationError, match="a box"):
        read_actions(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tubes": []}, "for each frame"),
        ({"tubes": [{"start_frame": 0, "end_frame": 3, "boxes": []}]}, "for each frame"),
        ({"tubes": [TUBE | {"boxes": [[84, 16, 60, 40]] * 10}]}, "x1 < x2"),
        ({"tubes": [TUBE | {"boxes": [[np.nan, 16, 60, 40]] * 10}]}, "x1 < x2"),
        ({"tubes": [TUBE | {"start_frame": 30}]}, "for each frame"),
        ({"tubes": 3}, "expected videos with boxes"),
    ],
)
def test_wrong_boxes_are_an_error(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = write(tmp_path, entry("a.mp4", **changes), entry("b.mp4"))
    with pytest.raises(AnnotationError, match=reason):
        read_actions(path)
    twice = write(tmp_path, entry("a.mp4"), entry("a.mp4"))
    with pytest.raises(AnnotationError, match="2 different videos"):
        read_actions(twice)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frames": 50}, r"a\.mp4: expected .*50.*decoded .*48"),
        ({"tubes": [TUBE | {"start_frame": 40, "end_frame": 50}]}, "before frame 50 of 48"),
    ],
)
def test_boxes_of_another_video_are_an_error(
    loaded_brightness: LoadedRecogniser,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    changes: dict[str, Any],
    reason: str,
) -> None:
    write_flash("a.mp4")
    path = write(tmp_path, entry("a.mp4", **changes), entry("b.mp4"))
    with pytest.raises(AnnotationError, match=reason):
        evaluate_attention(loaded_brightness, path, progress=False)


def test_one_group_is_too_few(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    entries = [entry(write_flash(f"{n}.mp4").name, group="one") for n in range(2)]
    with pytest.raises(ArgumentError, match="at least 2 groups"):
        evaluate_attention(loaded_brightness, write(tmp_path, *entries), progress=False)


def test_the_figure_of_short_actions_needs_some() -> None:
    methods = {"attention": 1.0, "x": 0.5}
    figures = {"keyframe_precision": methods, "action_recall": methods}
    long = {"share_with_action": 1.0, **figures}
    short = {"share_with_action": 0.5, **figures}
    task, names = ["keyframes"], ["a", "b", "c", "d"]
    assert "keyframe_precision_short" not in attention_figures.summarise_attention(
        [long] * 4, names, task
    )
    found = attention_figures.summarise_attention([short] * 3 + [long], names, task)
    assert found["keyframe_precision_short"].videos == 3
    # Where all are short it would be the same figure once more.
    assert "keyframe_precision_short" not in attention_figures.summarise_attention(
        [short] * 4, names, task
    )


def test_actions_may_begin_with_a_byte_order_mark(annotated: Path) -> None:
    expected = read_actions(annotated, boxes=False)
    annotated.write_bytes(b"\xef\xbb\xbf" + annotated.read_bytes())
    assert [video.path for video in read_actions(annotated, boxes=False)] == [
        video.path for video in expected
    ]
