"""What a scorer is: a video in, a score for each frame out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, IntArray, finite_array, index_array
from vidattn.errors import ArgumentError
from vidattn.selection import upsample_scores
from vidattn.video import VideoReader


@dataclass(frozen=True, eq=False)
class FrameScores:
    """The scores of some frames of a video, where looking at every frame takes too long.

    Attributes:
        indices: (S,) increasing, at least one.
        values: (S,), any finite numbers; higher is better.
    """

    indices: IntArray
    values: FloatArray


class Scorer(Protocol):
    """Says how much each frame of a video is worth as a key frame.

    Any function from a reader to numbers is one:

        def redness(video):
            chunks = video.chunks(short_side=64)
            return np.concatenate([each.array[..., 0].mean((1, 2)) for each in chunks])

        vidattn.extract_keyframes("match.mp4", scorer=redness)

    Results name a scorer by its attribute `name`, or else by its `__name__` or its class.
    """

    def __call__(self, video: VideoReader, /) -> ArrayLike | FrameScores:
        """Score frames, the whole video by one measure.

        Args:
            video: an open video of any length, or a part of one. Read it with `chunks`, a few
                frames at a time.

        Returns:
            (T,) finite numbers, one for each frame, higher is better; or `FrameScores` of some.
        """
        ...


def score_name(scorer: Scorer) -> str:
    """What results call a scorer."""
    for owner, attribute in ((scorer, "name"), (scorer, "__name__"), (type(scorer), "__name__")):
        name = getattr(owner, attribute, None)
        if isinstance(name, str) and name:
            return name
    return "scorer"


def score_frames(scorer: Scorer, video: VideoReader) -> tuple[FloatArray, IntArray]:
    """The checked scores of a scorer.

    Returns:
        (T,) scores, interpolated between frames that were looked at, and (S,) which these are.

    Raises:
        ArgumentError: it returned another number of scores, or a NaN.
    """
    name, total = f"scores of {score_name(scorer)}", len(video)
    found = scorer(video)
    if not isinstance(found, FrameScores):
        return finite_array(name, found, (total,)), np.arange(total, dtype=np.int64)
    indices = index_array(f"indices of the {name}", found.indices, (None,), below=total)
    if not len(indices) or (np.diff(indices) <= 0).any():
        raise ArgumentError(f"indices of the {name}: expected increasing frames, at least one")
    values = finite_array(name, found.values, (len(indices),))
    return upsample_scores(values, indices, total), indices
