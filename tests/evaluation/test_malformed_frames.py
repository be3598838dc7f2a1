"""Files of labels, shots, summaries, frames and boxes that are wrong: named, never scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn.errors import MalformedFileError
from vidattn.evaluation.scoring import score

CLASSES = "label,youtube_id,time_start,time_end,split\nrun,a,1,11,val\nwalk,b,2,12,val\n"
SCORES = "video,run,walk\na,0.5,0.5\nb,0.1,0.9\n"
SHOTS = {"v": {"transitions": [[9, 10], [19, 24]]}}
SUMMARY = {
    "v": {"user_summary": [[0, 1, 1, 0]], "change_points": [[0, 1], [2, 3]], "picks": [0, 2]}
}
SPANS = "video,start,end,frames\na,0,5,10\n"
BOXES = {"v": {"width": 8, "height": 8, "boxes": {"0": [[0, 0, 4, 4]]}}}
GOOD = {
    "recognition": ("p.csv", SCORES, "t.csv", CLASSES),
    "frame_labels": ("p/v.txt", "a\nb\n", "t/v.txt", "a\nb\n"),
    "shots": ("p.json", {"v": [10]}, "t.json", SHOTS),
    "summaries": ("p.json", {"v": [0.5, 1]}, "tvsum.json", SUMMARY),
    "keyframes": ("p.csv", "video,frame\na,1\n", "t.csv", SPANS),
    "regions": ("p.json", {"v": {"0": {"point": [1, 1]}}}, "t.json", BOXES),
}
SETTINGS = {"frame_labels": {"background": "none"}, "summaries": {"draws": 1}}

WRONG: list[tuple[str, str, Any, str]] = [
    ("recognition", "p", "video,run,walk\na,0.5,nan\nb,1,1\n", "p.csv:2: .*finite number"),
    ("recognition", "p", "video,run,walk\na,0.5,x\nb,1,1\n", "p.csv:2: .*walk: a number.*'x'"),
    ("recognition", "p", "video,run,walk\na,0.5\n", "p.csv:2: expected 3 cells"),
    ("recognition", "p", "video,run,run\na,0.5,1\n", "p.csv:1"),
    (
        "recognition",
        "p",
        "video,run,walk\na,1,0\na,1,0\nb,1,0\n",
        "p.csv:3: .*one row for each video",
    ),
    ("recognition", "p", "a,0.5,0.5\n", "p.csv:1: expected a header"),
    ("recognition", "p", "video,label\na,run\nb,jump\n", "p.csv:3: .*class of the truth.*'jump'"),
    ("recognition", "p", "video,label\na,run\na,run\n", "p.csv:3: .*again, first on line 2"),
    (
        "recognition",
        "p",
        "video,run,jump\na,0,1\nb,0,1\n",
        "t.csv:3: .*class that predictions have",
    ),
    ("recognition", "p.json", {"a": [], "b": ["run"]}, r"p.json:1: .*at least one label"),
    ("recognition", "p.json", {"a": [0.5], "b": [0, 1]}, "a score for each of 1 classes, got 2"),
    ("recognition", "p.json", {"a": ["run", "run"], "b": ["run"]}, "every label of a video once"),
    ("recognition", "p.json", {"a": ["run"], "b": [0, 1]}, "or labels for every video, got both"),
    ("recognition", "p", "", "p.csv: expected some content, got an empty file"),
    ("recognition", "p", "video,run,walk\na,0,1\n", "every video of the truth"),
    ("recognition", "p", SCORES.encode("utf-16"), "p.csv:1: expected UTF-8 text, got UTF-16"),
    ("recognition", "p", b"video,run\nb\xe9,1\n", "p.csv:2: expected UTF-8 text"),
    ("recognition", "t", CLASSES.replace("1,11", "11,1"), "t.csv:2: .*time_start < time_end"),
    ("recognition", "t", CLASSES.replace("split\n", "x\n"), "t.csv:1: .*'split' 0 times"),
    ("recognition", "t", CLASSES + "jump,a,1,11,val\n", "t.csv:4: .*again, first on line 2"),
    ("recognition", "t", CLASSES + ",c,1,11,val\n", "t.csv:4: expected label"),
    ("recognition", "t", "a.mp4\n", "t.csv:1: expected a path and a label"),
    ("frame_labels", "p", "a\n\nb\n", "v.txt:2: expected one label on every line"),
    ("frame_labels", "p", "a\n", "v.txt: expected 2 labels for v"),
    ("frame_labels", "p", "a\nc\n", "v.txt:2: expected labels of the truth.*'c'"),
    ("frame_labels", "p", "### x ###\n", "v.txt:2: expected labels below the heading"),
    ("frame_labels", "t", "", "v.txt: expected some content"),
    ("shots", "p", {"v": [10.5]}, r"p.json:1: .*\['v'\]\[0\]: a frame number"),
    ("shots", "p", {"v": [0]}, "first frame of a later shot"),
    ("shots", "p", {"v": [[10, 9]]}, "ends after its start"),
    ("shots", "p", {"v": ["x"]}, "a finite number, got 'x'"),
    ("shots", "p", '{"v": [1], "v": [2]}', "'v' twice in one object"),
    ("shots", "p", '{"v": [NaN]}', "p.json:1: expected finite numbers"),
    ("shots", "t", {"v": {"frame_num": 4}}, "an object with 'transitions'"),
    ("shots", "t", {"v": {"transitions": [[1, 9], [2, 4]]}}, "none inside another"),
    ("shots", "t", {"v": {"transitions": [[1]]}}, r"\['v'\]\['transitions'\]\[0\]"),
    ("summaries", "p", {"v": [0.5, -1]}, r"\['v'\]\[1\]: a score of at least 0"),
    ("summaries", "p", {"v": [0.5, None]}, r"\['v'\]\[1\]: a finite number"),
    ("summaries", "p", {"v": [0.5, 1, 1]}, "v: an answer that fits the truth"),
    ("summaries", "p", {"v": {"summary": [0, 1, 2, 0]}}, "0 or 1, got 2"),
    ("summaries", "p", {"v": {"summary": [0, 1]}}, "expected 4 frames, got 2"),
    ("summaries", "p", {"v": []}, "at least one number"),
    ("summaries", "t", {"v": {"picks": [0]}}, "user_summary or user_anno, got neither"),
    ("summaries", "t", {"v": {**SUMMARY["v"], "change_points": [[2, 3], [0, 1]]}}, "change_points"),
    ("summaries", "t", {"v": {**SUMMARY["v"], "picks": [2, 0]}}, "picks: increasing"),
    ("summaries", "t", {"v": {**SUMMARY["v"], "user_summary": [0, 1]}}, r"\(people, frames\)"),
    ("summaries", "t", {"v": {**SUMMARY["v"], "n_frame_per_seg": [1]}}, "one a shot"),
    ("keyframes", "p", "video,frame\na,1.5\n", "p.csv:2: .*whole number"),
    ("keyframes", "p", "video,frame\na,1\na,1\n", "p.csv:3: .*again"),
    ("keyframes", "p", "video,frame\na,10\n", "frames of a below 10, got 10"),
    ("keyframes", "p", "frame\n1\n", "p.csv:1: expected a header"),
    ("keyframes", "t", SPANS.replace("0,5", "5,5"), "t.csv:2: expected start < end"),
    ("keyframes", "t", SPANS.replace("5,10", "11,10"), "t.csv:2: expected start < end ≤ frames"),
    ("keyframes", "t", SPANS + "a,5,6,11\n", "t.csv:3: expected 10 frames"),
    ("regions", "p", {"v": {"0": {"point": [1]}}}, r"\['v'\]\['0'\]\['point'\]"),
    ("regions", "p", {"v": {"0": {"map": [[1], [1, 2]]}}}, "rows of numbers, of one length"),
    ("regions", "p", {"v": {"0": {"map": [[-1, 2]]}}}, "non-negative weights"),
    ("regions", "p", {"v": {"first": {"point": [1, 1]}}}, "a frame number"),
    ("regions", "p", {"v": {"7": {"point": [1, 1]}}}, "frames of v with boxes"),
    ("regions", "t", {"v": {"boxes": {"0": [[4, 0, 0, 4]]}}}, "x1 < x2"),
    ("regions", "t", {"v": {"boxes": {"0": [[0, 0, 4]]}}}, "x1 < x2"),
]


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path if path.parent.name not in ("p", "t") else path.parent


@pytest.mark.parametrize("task", GOOD)
def test_the_right_files_are_scored(task: str, tmp_path: Path) -> None:
    name, given, true_name, truth = GOOD[task]
    paths = write(tmp_path / name, given), write(tmp_path / true_name, truth)
    assert score(task, *paths, **SETTINGS.get(task, {})).figures


@pytest.mark.parametrize(("task", "side", "content", "message"), WRONG)
def test_a_wrong_file_is_named(
    task: str, side: str, content: Any, message: str, tmp_path: Path
) -> None:
    name, given, true_name, truth = GOOD[task]
    if side == "p.json":
        name, side = side, "p"
    paths = (
        write(tmp_path / name, content if side == "p" else given),
        write(tmp_path / true_name, content if side == "t" else truth),
    )
    with pytest.raises(MalformedFileError, match=message):
        score(task, *paths, **SETTINGS.get(task, {}))


@pytest.mark.parametrize("task", GOOD)
def test_a_missing_file_is_named(task: str, tmp_path: Path) -> None:
    name, given, true_name, _ = GOOD[task]
    there = write(tmp_path / name, given)
    with pytest.raises(MalformedFileError, match=r"nowhere.*nothing there"):
        score(task, there, tmp_path / f"nowhere{Path(true_name).suffix}")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"scores/v": np.array([0.1, np.nan])}, "scores/v: finite numbers"),
        ({"scores/v": np.zeros((3, 3))}, "scores/v: a score a frame"),
        ({"scores/v": np.array([[5, 2]])}, "in time order and apart"),
        ({"scores/v": np.array([["a"]])}, "numbers"),
    ],
)
def test_wrong_archives_are_named(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "p.npz", **arrays)
    truth = write(tmp_path / "t.json", SHOTS)
    with pytest.raises(MalformedFileError, match=f"p.npz: .*{message}"):
        score("shots", tmp_path / "p.npz", truth, threshold=0.5)


def test_scores_need_a_threshold(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **{"scores/v": np.zeros(30)})
    with pytest.raises(MalformedFileError, match="--threshold"):
        score("shots", tmp_path / "p.npz", write(tmp_path / "t.json", SHOTS))


@pytest.mark.parametrize("name", ["v.npz", "v.h5", "v.mat"])
def test_damaged_binary_files_are_named(name: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("scipy")
    head = {"v.npz": b"PK\x03\x04", "v.h5": b"\x89HDF\r\n\x1a\n", "v.mat": b"MATLAB 5.0 "}[name]
    path = write(tmp_path / name, head + bytes(range(256)) * 4)
    given = write(tmp_path / "p.json", {"v": [1.0]})
    task = "shots" if name == "v.npz" else "summaries"
    with pytest.raises(MalformedFileError, match=name):
        score(task, given, path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **{"scores/v": np.array([{}], dtype=object)})
    with pytest.raises(MalformedFileError, match=r"p\.npz: expected a NumPy archive"):
        score("shots", tmp_path / "p.npz", write(tmp_path / "t.json", SHOTS), threshold=0.5)
