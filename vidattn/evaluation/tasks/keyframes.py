"""Key frames against spans of action, beside what uniform and random frames do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.span_files import read_selected, read_spans
from vidattn.evaluation.files.videos import match_videos, mean_intervals
from vidattn.evaluation.metrics.keyframes import (
    action_recall,
    keyframe_precision,
    random_precision,
    random_recall,
    uniform_precision,
    uniform_recall,
)
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Score selected frames."""
    true, given = read_spans(truth), read_selected(predictions)
    matched = match_videos(predictions, given, true, missing=settings["missing"])
    rows = {}
    for name in matched.names:
        spans, count = true[name]
        frames = given[name]
        if count is not None and max(frames) >= count:
            expected = f"frames of {name} below {count}"
            raise MalformedFileError(predictions, 0, expected, str(max(frames)))
        row = {
            "precision": keyframe_precision(frames, spans),
            "recall": action_recall(frames, spans),
        }
        if count is not None:
            row |= {
                "precision_uniform": uniform_precision(spans, count, len(frames)),
                "precision_random": random_precision(spans, count),
                "recall_uniform": uniform_recall(spans, count, len(frames)),
                "recall_random": random_recall(spans, count, len(frames)),
            }
        rows[name] = row
    without = [name for name in matched.names if true[name].frame_count is None]
    if without:
        matched.notes.append(
            f"no uniform and random figures: the frame counts of {len(without)} videos are unknown"
        )
    titles = list(rows[without[0] if without else matched.names[0]])
    values = {title: [row[title] for row in rows.values()] for title in titles}
    figures = {title: float(np.mean(numbers)) for title, numbers in values.items()}
    counts = {**matched.counts, "frames_selected": sum(len(given[n]) for n in matched.names)}
    return Score(
        "keyframes",
        protocol,
        figures,
        rows,
        counts,
        matched.notes,
        settings,
        mean_intervals(values),
    )


TASK = ScoreTask(
    name="keyframes",
    summary="key frames: how many are inside an action, and how many actions have one",
    predictions="CSV with `video,frame`, JSON: video -> list of frames (0-based), or the "
    "keyframes.json of `vidattn keyframes`",
    truth="CSV with `video,start,end[,frames]`, or JSON with `spans` or `tubes`; ends exclusive",
    protocols={
        "spans": "precision: share of frames in a span; recall: share of spans with a frame; the "
        "same of frames at even distances and, expected, of random ones"
    },
    example="keyframes selected.csv spans.csv",
    run=run,
    options=(
        Option(
            "missing",
            str,
            "what to do with a video without predictions",
            default="error",
            choices=("error", "leave-out"),
        ),
    ),
)
