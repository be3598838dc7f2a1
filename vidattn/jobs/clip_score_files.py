"""Where the scores of single clips are kept: of many videos they are more than JSON should hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidattn.errors import ArgumentError
from vidattn.files import written_whole
from vidattn.jobs.evaluation_record import Evaluation
from vidattn.naming import choose

CLIP_SCORE_FILE = "clip_scores.npz"
PLACES = ("json", "npz", "none")
# Numbers that `evaluation.json` takes unasked: some 20 MB.
MOST_NUMBERS = 1_000_000


def place_of_clip_scores(asked: str | None, numbers: int) -> str:
    """One of `PLACES`; what was asked for, or else the JSON file where they are few.

    Args:
        asked: what a person chose.
        numbers: videos × clips × classes.
    """
    if asked is None:
        return "json" if numbers <= MOST_NUMBERS else "none"
    choose("clip_scores", asked, PLACES)
    return asked


def write_clip_scores(path: Path, found: Evaluation) -> None:
    """A NumPy archive with the scores of all clips, and all that gives them a meaning.

    `videos` (V,) and `classes` (C,) are names; `labels` (V,) are class numbers, or (V, C) 0 and 1
    where videos have several; `scores` (V, C) and `clip_scores` (V, clips, C) are float32
    probabilities.
    """
    if found.clip_scores is None:
        raise ArgumentError("clip_scores: this evaluation did not keep them")
    with written_whole(path) as temporary:
        np.savez(
            temporary,
            videos=np.array(found.video_ids, dtype=np.str_),
            classes=np.array(found.classes, dtype=np.str_),
            labels=found.labels.astype(np.int64),
            scores=found.scores.astype(np.float32),
            clip_scores=found.clip_scores,
        )
