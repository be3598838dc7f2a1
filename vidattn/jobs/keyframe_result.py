from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from vidattn.inference.keyframe_results import KeyFrame
from vidattn.jobs.keyframe_page import DRAWN
from vidattn.runs.outcome import RunResult
from vidattn.runs.work import Record


@dataclass(frozen=True, eq=False)
class WrittenKeyFrames:
    """The key frames of one video, and their pictures.

    Attributes:
        video: as the list named it.
        frames: what was selected, in the order of time.
        images: the picture of each, below the output folder.
        remarks: sentences on what is not as asked for.
        record: its entry in `keyframes.json`, with method, decoder and versions.
    """

    video: str
    frames: tuple[KeyFrame, ...]
    images: tuple[str, ...]
    remarks: tuple[str, ...]
    record: Mapping[str, Any]

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """From what a run notes of a video."""
        own = {key: value for key, value in record.items() if key not in ("state", "files", DRAWN)}
        names = [each.name for each in fields(KeyFrame)]
        frames = tuple(
            KeyFrame(**{name: frame[name] for name in names} | {"regions": _boxes(frame)})
            for frame in own["frames"]
        )
        images = tuple(frame["image"] for frame in own["frames"])
        return cls(own["video"], frames, images, tuple(own["remarks"]), own)

    def to_json(self) -> dict[str, Any]:
        """Its entry in `keyframes.json`."""
        return dict(self.record)

    def in_words(self) -> str:
        """How many, and when."""
        times = ", ".join(f"{frame.seconds:.2f}" for frame in self.frames)
        return f"{len(self.frames)} key frames, at {times} s"


KeyFrameResult = RunResult[WrittenKeyFrames]


def _boxes(frame: Mapping[str, Any]) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in frame["regions"])
