"""Small files in the formats that `vidattn score` reads, under the names that its examples use."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FRAMES = 60
SEGMENTS = [{"label": "run", "segment": [1.0, 4.0]}, {"label": "jump", "segment": [5.0, 9.0]}]


def _text(content: str) -> Callable[[Path], None]:
    return lambda path: _write(path, content)


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def _json(content: Any) -> Callable[[Path], None]:
    return _text(json.dumps(content))


def _folder(path: Path, content: str) -> None:
    path.mkdir(parents=True)
    _write(path / "film.txt", content)


def _boundaries(path: Path) -> None:
    scores = np.zeros(FRAMES)
    scores[29] = 0.9
    shots = np.array([[0, 29], [30, FRAMES - 1]])
    np.savez(path, **{"scores/film": scores, "truth/film": shots})


def _maps(path: Path) -> None:
    np.savez(path, **{"film/3": [[3, 1], [0, 0]], "film/5": [[1, 1], [1, 1]]})


def _people(path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 is read where the extra `summaries` is there")
    fields = {
        "user_summary": [[1] * 15 + [0] * 45, [0] * 15 + [1] * 15 + [0] * 30],
        "change_points": [[0, 14], [15, 29], [30, 44], [45, 59]],
        "n_frames": FRAMES,
        "n_frame_per_seg": [15] * 4,
        "picks": [0, 15, 30, 45],
    }
    with h5py.File(path, "w") as stream:
        for name, value in fields.items():
            stream[f"video_1/{name}"] = np.array(value, dtype=np.float32)


def _importances(path: Path) -> None:
    rows = [np.resize([1, 3, 5, 2], FRAMES), np.resize([2, 3, 4, 1], FRAMES)]
    _write(path, "".join(f"film\tVT\t{','.join(map(str, row))}\n" for row in rows))


BOX = "0.1,0.1,0.5,0.5"
LABELS = 'item { name: "stand" id: 1 }\nitem { name: "run" id: 2 }\n'
SURE = [{**segment, "score": 0.9 - 0.1 * row} for row, segment in enumerate(SEGMENTS)]
DATABASE = {"film": {"subset": "test", "annotations": SEGMENTS}}
CLIP = "abcdefghijk_000001_000011"

MAKERS: dict[str, Callable[[Path], None]] = {
    "predictions.csv": _text(f"film,0902,{BOX},1,0.9\nfilm,0903,{BOX},2,0.4\n"),
    "truth.csv": _text(f"film,0902,{BOX},1,0\nfilm,0903,{BOX},2,0\n"),
    "ava_val_v2.2.csv": _text(f"film,0902,{BOX},1,0\nfilm,0903,{BOX},2,0\n"),
    "ava_val_excluded_timestamps_v2.2.csv": _text("film,0903\n"),
    "action_list.pbtxt": _text(LABELS),
    "results.json": _json({"results": {"film": SURE}}),
    "predictions.json": _json({"results": {"film": SURE}}),
    "truth.json": _json({"database": DATABASE}),
    "activity_net.v1-3.min.json": _json({"database": DATABASE}),
    "detections/": partial(_folder, content="cat 0.9 10 10 20 20\n"),
    "groundtruths/": partial(_folder, content="cat 10 10 20 20\n"),
    "scores.csv": _text(f"video,run,jump\n{CLIP},0.7,0.3\n"),
    "kinetics400_val.csv": _text(
        "label,youtube_id,time_start,time_end,split\nrun,abcdefghijk,1,11,validate\n"
    ),
    "label_map_k400.txt": _text("run\njump\n"),
    "results/split_1": partial(_folder, content="### Frame level recognition: ###\nrun run jump"),
    "groundTruth": partial(_folder, content="run\nrun\njump\n"),
    "scores.json": _json({"video_1": [0.1, 0.9, 0.2, 0.3]}),
    "eccv16_dataset_tvsum_google_pool5.h5": _people,
    "ydata-anno.tsv": _importances,
    "tvsum_splits.json": _json([{"test_keys": ["video_1"]}]),
    "autoshot.npz": _boundaries,
    "selected.csv": _text("video,frame\nfilm,12\nfilm,40\n"),
    "keyframes.json": _json({"film": [12, 40]}),
    "spans.csv": _text("video,start,end,frames\nfilm,10,20,60\n"),
    "maps.npz": _maps,
    "boxes.json": _json(
        {"film": {"width": 8, "height": 8, "boxes": {"3": [[0, 0, 4, 4]], "5": [[0, 0, 4, 4]]}}}
    ),
}
