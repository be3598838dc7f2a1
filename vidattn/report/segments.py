from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vidattn.errors import ArgumentError

# A part that is hardly likely is still seen.
_FAINTEST = 0.25


@dataclass(frozen=True)
class Segment:
    """What is seen for a while.

    Attributes:
        label: the row that it is in.
        start_seconds, end_seconds: when.
        share: how strong it is, in [0, 1].
    """

    label: str
    start_seconds: float
    end_seconds: float
    share: float


@dataclass(frozen=True)
class SegmentRows:
    """When what is seen in a video: a row for each label, from the video's start to its end.

    Attributes:
        segments: inside the video; a part is the darker the larger its share.
        start_seconds, end_seconds: of the video.
        note: a line below.
    """

    kind: ClassVar[str] = "segments"
    heading: str
    segments: Sequence[Segment]
    start_seconds: float
    end_seconds: float
    note: str = ""

    def __post_init__(self) -> None:
        for each in self.segments:
            inside = self.start_seconds <= each.start_seconds <= each.end_seconds
            if not inside or each.end_seconds > self.end_seconds or not 0 <= each.share <= 1:
                raise ArgumentError(
                    f"segments: expected times from {self.start_seconds:g} to "
                    f"{self.end_seconds:g} and a share in [0, 1], got {each}"
                )

    def placed(self) -> list[dict[str, object]]:
        """Per label, in the order in which they begin: places in per cent, and words."""
        length = self.end_seconds - self.start_seconds or 1.0
        rows: dict[str, list[dict[str, object]]] = {}
        seconds: dict[str, float] = {}
        for each in self.segments:
            lasts = each.end_seconds - each.start_seconds
            seconds[each.label] = seconds.get(each.label, 0.0) + lasts
            rows.setdefault(each.label, []).append(
                {
                    "left": round(100 * (each.start_seconds - self.start_seconds) / length, 3),
                    "width": round(100 * lasts / length, 3),
                    "opacity": round(_FAINTEST + (1 - _FAINTEST) * each.share, 3),
                    "title": f"{each.start_seconds:.2f} – {each.end_seconds:.2f} s, "
                    f"{each.share:.0%}",
                }
            )
        return [
            {"label": label, "text": f"{seconds[label]:.1f} s", "parts": parts}
            for label, parts in rows.items()
        ]
