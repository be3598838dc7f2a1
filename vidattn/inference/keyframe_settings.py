"""What key frames are wanted, and how many."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vidattn.arrays import at_least
from vidattn.errors import ArgumentError

COUNT = 8
AUTO = "auto"
_COUNT_FORMS = "expected a number of frames, 'auto', a share such as 5%, or a rate such as 3/min"


@dataclass(frozen=True)
class KeyFrameSettings:
    """The arguments of `vidattn.extract_keyframes`, checked; see there.

    Raises:
        ArgumentError: one is out of range, or two do not go together.
    """

    count: int | str | None = None
    minimum_gap_seconds: float = 0.5
    per_shot: int | None = None
    margin_seconds: float = 0.0
    every_seconds: float | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    distinct: bool = False
    fast: bool = False
    regions: int = 1
    region_threshold: float = 0.5
    batch_size: int = 4

    def __post_init__(self) -> None:
        if self.count is not None:
            wanted_frames(self.count, 1, 1.0)
            if isinstance(self.count, str):
                text = self.count.strip().lower()
                object.__setattr__(self, "count", int(text) if text.isdecimal() else text)
        for name in ("per_shot", "regions", "batch_size"):
            number = getattr(self, name)
            if number is not None:
                at_least(name, number, 1)
        for name in ("minimum_gap_seconds", "margin_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ArgumentError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if self.every_seconds is not None and not 0 < self.every_seconds < math.inf:
            raise ArgumentError(f"every_seconds: expected more than 0, got {self.every_seconds}")
        start, end = self.start_seconds, self.end_seconds
        if any(each is not None and math.isnan(each) for each in (start, end)):
            raise ArgumentError(f"start_seconds, end_seconds: expected times, got {start}, {end}")
        if start is not None and end is not None and end <= start:
            raise ArgumentError(f"end_seconds: expected a time after {start:g}, got {end:g}")
        if not 0 < self.region_threshold <= 1:
            raise ArgumentError(
                f"region_threshold: expected a number in (0, 1], got {self.region_threshold}"
            )
        self._check_together()

    def _check_together(self) -> None:
        if self.every_seconds is not None and (self.count is not None or self.per_shot is not None):
            raise ArgumentError(
                "every_seconds: it says how many there are; leave count and per_shot"
            )
        if self.per_shot is not None and self.count == AUTO:
            raise ArgumentError("per_shot: expected no count or a number, got count 'auto'")
        if self.fast and (self.margin_seconds or self.per_shot is not None):
            raise ArgumentError(
                "fast: it knows no exact cuts; margin_seconds and per_shot need them"
            )

    def check_for_model(self) -> None:
        """Raise what a choice by a model's attention cannot do."""
        given = {
            "per_shot": self.per_shot is not None,
            "margin_seconds": self.margin_seconds > 0,
            "every_seconds": self.every_seconds is not None,
            "distinct": self.distinct,
            "fast": self.fast,
            "count": self.count == AUTO,
        }
        for name, is_given in given.items():
            if is_given:
                what = "count 'auto'" if name == "count" else name
                raise ArgumentError(f"{name}: {what} works without a checkpoint only")


def wanted_frames(count: int | str, frame_count: int, duration_seconds: float) -> int | None:
    """How many frames a count means for a video; None for "auto".

    Args:
        count: a number, "auto", "5%" of the frames, or "3/min" of the duration; at least one
            frame is meant.

    Raises:
        ArgumentError: it is none of these.

    >>> wanted_frames("5%", 200, 8.0), wanted_frames("3/min", 200, 40.0), wanted_frames(8, 200, 8.0)
    (10, 2, 8)
    """
    if not isinstance(count, str):
        return at_least("count", count, 1)
    text = count.strip().lower()
    if text == AUTO:
        return None
    if re.fullmatch(r"[0-9]+", text):
        return at_least("count", int(text), 1)
    match = re.fullmatch(r"([0-9]*[.]?[0-9]+) *(%|/ *min|/ *s)", text)
    if match is None:
        raise ArgumentError(f"count: {_COUNT_FORMS}, got {count!r}")
    number, unit = float(match[1]), match[2].replace(" ", "")
    if number <= 0 or (unit == "%" and number > 100):
        raise ArgumentError(f"count: {_COUNT_FORMS}, above 0 and at most 100%, got {count!r}")
    amount = {"%": frame_count / 100, "/min": duration_seconds / 60, "/s": duration_seconds}[unit]
    return max(1, round(number * amount))
