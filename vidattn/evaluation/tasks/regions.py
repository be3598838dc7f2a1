"""Points and maps of frames against true boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import ArgumentError, MalformedFileError
from vidattn.evaluation.files.span_files import (
    FrameAnswer,
    VideoBoxes,
    read_boxes,
    read_frame_answers,
)
from vidattn.evaluation.files.videos import match_videos, mean_intervals
from vidattn.evaluation.metrics.regions import energy_inside, map_iou, pointing_game
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Score points or maps."""
    if not 0 < settings["threshold"] <= 1:
        raise ArgumentError(f"threshold: expected a number in (0, 1], got {settings['threshold']}")
    true, given = read_boxes(truth), read_frame_answers(predictions)
    matched = match_videos(predictions, given, true, missing=settings["missing"])
    rows: dict[str, dict[str, float]] = {}
    scored = empty = 0
    for name in matched.names:
        frames = sorted(frame for frame in given[name] if true[name].boxes.get(frame))
        empty += len(given[name]) - len(frames)
        if not frames:
            raise MalformedFileError(predictions, 0, f"frames of {name} with boxes", "none")
        scored += len(frames)
        figures = [
            _frame(given[name][frame], true[name], frame, settings["threshold"])
            if true[name].size or given[name][frame].weights is None
            else _refuse_size(truth, name)
            for frame in frames
        ]
        if len({tuple(figure) for figure in figures}) > 1:
            expected = f"a point, or a map, for every frame of {name}"
            raise MalformedFileError(predictions, 0, expected, "points and maps")
        rows[name] = {
            title: float(np.mean([figure[title] for figure in figures])) for title in figures[0]
        }
        rows[name]["frames"] = len(frames)
    if empty:
        matched.notes.append(f"{empty} frames without true boxes were left out")
    titles = [title for title in next(iter(rows.values())) if title != "frames"]
    if any(set(row) - {"frames"} != set(titles) for row in rows.values()):
        raise MalformedFileError(predictions, 0, "points, or maps, for every video", "both")
    values = {title: [row[title] for row in rows.values()] for title in titles}
    means = {title: float(np.mean(numbers)) for title, numbers in values.items()}
    counts = {**matched.counts, "frames": scored, "frames_without_boxes": empty}
    intervals = mean_intervals(values)
    return Score("regions", protocol, means, rows, counts, matched.notes, settings, intervals)


def _frame(answer: FrameAnswer, true: VideoBoxes, frame: int, threshold: float) -> dict[str, float]:
    boxes = np.array(true.boxes[frame])
    if answer.weights is None:
        assert answer.point is not None
        hit = pointing_game([answer.point], [boxes])[0]
        found = {"pointing": float(hit)}
        if true.size:
            found["pointing_centre"] = float(pointing_game([np.array(true.size) / 2], [boxes])[0])
        return found
    weights = answer.weights
    assert true.size is not None
    rows, columns = weights.shape
    scale = np.array([columns / true.size[0], rows / true.size[1]] * 2)
    cells = boxes * scale
    row, column = np.unravel_index(int(weights.argmax()), weights.shape)
    return {
        "pointing": float(pointing_game([[column + 0.5, row + 0.5]], [cells])[0]),
        "pointing_centre": float(pointing_game([[columns / 2, rows / 2]], [cells])[0]),
        "energy_inside": energy_inside(weights, cells),
        "energy_inside_even": energy_inside(np.ones(weights.shape), cells),
        "IoU": map_iou(weights, cells, threshold=threshold),
        "IoU_even": map_iou(np.ones(weights.shape), cells, threshold=threshold),
    }


def _refuse_size(path: Path, name: str) -> dict[str, float]:
    raise MalformedFileError(path, 0, f"width and height of {name}, for maps", "none")


TASK = ScoreTask(
    name="regions",
    summary="where a model looks: pointing game, energy inside the boxes, IoU of its map",
    predictions=".npz of maps with keys video/frame, or JSON: video -> frame -> object with "
    "`point` [x, y] or `map`",
    truth="JSON: video -> object with `boxes` (frame -> boxes), `width`, `height`; or `videos` "
    "with `tubes`",
    protocols={
        "boxes": "beside the centre of the frame and an even map; the peak of a map is the "
        "middle of its highest cell"
    },
    example="regions maps.npz boxes.json --threshold 0.5",
    run=run,
    options=(
        Option(
            "threshold",
            float,
            "use cells with at least this share of the highest weight",
            default=0.5,
        ),
        Option(
            "missing",
            str,
            "what to do with a video without predictions",
            default="error",
            choices=("error", "leave-out"),
        ),
    ),
)
