"""Key frames by the scores of frames, whatever these come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn import selection
from vidattn.arrays import FloatArray, IntArray
from vidattn.inference.keyframe_settings import COUNT, KeyFrameSettings, wanted_frames
from vidattn.inference.scorers.scorer import Scorer, score_frames, score_name
from vidattn.inference.scorers.untrained import UniformScorer
from vidattn.video import VideoReader


@dataclass(frozen=True, eq=False)
class ScoredChoice:
    """What was chosen among the usable frames of a reader.

    Attributes:
        indices: of frames of the reader, increasing.
        scores: (T,) of every frame of the reader.
        looked_at: (S,) the frames that were scored; scores of others are interpolated.
        reason: why these were chosen.
    """

    indices: IntArray
    scores: FloatArray
    looked_at: IntArray
    reason: str


def choose_by_scores(
    reader: VideoReader, usable: NDArray[np.int64], scorer: Scorer, settings: KeyFrameSettings
) -> ScoredChoice:
    """The frames with the highest scores, or frames spread by them where a uniformity is given.

    Args:
        reader: of the film or a part of it.
        usable: frames that may be chosen, increasing, at least one.

    Raises:
        VideoError: the video cannot be used.
        ArgumentError: the scorer's scores cannot.
    """
    scores, looked_at = score_frames(scorer, reader)
    positions, gap = reader.frame_times.apart(settings.minimum_gap_seconds)
    wanted = COUNT if settings.count is None else settings.count
    count = wanted_frames(wanted, len(usable), reader.duration_seconds) or COUNT
    uniformity = 1.0 if isinstance(scorer, UniformScorer) else settings.uniformity
    if uniformity is None:
        scored = looked_at[np.isin(looked_at, usable, assume_unique=True)]
        among = usable if len(scored) < count else scored
        places = selection.select_frames(
            scores[among], count, minimum_gap=gap, positions=positions[among]
        )
        return ScoredChoice(
            among[places], scores, looked_at, f"one of the highest scores of {score_name(scorer)}"
        )
    places = selection.spread(
        scores[usable], count, uniformity, minimum_gap=gap, positions=positions[usable]
    )
    why = f"spread by the scores of {score_name(scorer)}, uniformity {uniformity:g}"
    if uniformity == 1:
        why = "spread evenly"
    return ScoredChoice(usable[places], scores, looked_at, why)
