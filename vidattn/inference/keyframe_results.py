from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KeyFrame:
    """One selected frame.

    Attributes:
        frame_index: 0-based, in presentation order.
        seconds: on the video's own clock.
        score: unnormalised; comparable within the video and, for one model, between videos.
        regions: boxes [x1, y1, x2, y2] in pixels of the video as shown; empty without a model.
        label: the class the model sees in the window around the frame; None without a model.
        probability: of that class.
        shot: its number, from 1; None between two shots, and where shots do not matter.
        reason: why it was kept, or dropped.
        flaw: what is wrong with it, such as "blurred", if no better frame was left; else "".
        scored_by: name of the score that it was chosen by, such as "attention".
    """

    frame_index: int
    seconds: float
    score: float
    regions: tuple[tuple[float, float, float, float], ...] = ()
    label: str | None = None
    probability: float | None = None
    shot: int | None = None
    reason: str = ""
    flaw: str = ""
    scored_by: str = ""


@dataclass(frozen=True, eq=False)
class ScoreCurve:
    """The scores of the frames of a video that were looked at.

    Attributes:
        frame_indices: (S,) in the film, increasing.
        seconds: (S,) on the video's own clock.
        scores: (S,).
    """

    frame_indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    scores: NDArray[np.float64]

    def rows(self) -> list[tuple[int, float, float]]:
        """Frame index, seconds and score of each, rounded to what a table needs."""
        seconds, scores = self.seconds.round(6).tolist(), self.scores.round(6).tolist()
        return list(zip(self.frame_indices.tolist(), seconds, scores, strict=True))


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """The key frames of one video, in time order.

    Attributes:
        path: the video.
        frames: what was selected.
        scores: (T,) the score of every frame, interpolated between those that were looked at.
        method: how they were scored, in words.
        details: decoder, versions, checkpoint; "remarks", sentences on what is not as asked for.
        dropped: candidates that were not selected, each for a stretch of frames; only with the
            score "coverage".
        curve: the scores of the frames that were looked at.
        start_seconds: of the first frame of the part that was looked at.
        shots: start and end of each, in seconds; none where shots were not looked for.
    """

    path: str
    frames: tuple[KeyFrame, ...]
    scores: NDArray[np.float64]
    method: str
    details: dict[str, Any]
    dropped: tuple[KeyFrame, ...] = ()
    curve: ScoreCurve | None = None
    start_seconds: float = 0.0
    shots: tuple[tuple[float, float], ...] = ()

    def to_json(self, *, explain: bool = False) -> dict[str, Any]:
        """What `keyframes.json` holds for one video; `explain` adds what was dropped, and why."""
        dropped = [_without_nothing(frame) for frame in self.dropped]
        return {
            "video": self.path,
            "method": self.method,
            **self.details,
            "frame_count": len(self.scores),
            "frames": [asdict(frame) for frame in self.frames],
            **({"dropped": dropped} if explain else {}),
        }


def _without_nothing(frame: KeyFrame) -> dict[str, Any]:
    return {key: value for key, value in asdict(frame).items() if value not in (None, "", ())}
