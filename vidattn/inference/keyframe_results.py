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
        shot: its number, from 1; None with a model, and between two shots.
        reason: why it was kept, or dropped; "" with a model.
        flaw: what is wrong with it, such as "blurred", if no better frame was left; else "".
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


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """The key frames of one video, in time order.

    Attributes:
        path: the video.
        frames: what was selected.
        scores: (T,) the score of every frame that was looked at.
        method: how they were scored, in words.
        details: decoder, versions, checkpoint; "remarks", sentences on what is not as asked for.
        dropped: candidates that were not selected, each for a stretch of frames; none with a model.
    """

    path: str
    frames: tuple[KeyFrame, ...]
    scores: NDArray[np.float64]
    method: str
    details: dict[str, Any]
    dropped: tuple[KeyFrame, ...] = ()

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
