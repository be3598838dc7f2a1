from __future__ import annotations

import re
from dataclasses import dataclass

from vidattn.errors import ArgumentError

VIDEO_SECONDS = 120.0
VIDEO_MEMORY = "4GB"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
          "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip
_FAILURES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class RunLimits:
    """What one video may take of the process that works on it, and how many may fail.

    Args:
        video_seconds: for which nothing moves: no frame was decoded and no part of the video done.
            A long film may take hours. 0 for no limit.
        video_memory: bytes, or a size such as "500MB", "4GB" or "2GiB", that the process and those
            that it started hold in memory. 0 for no limit.
        maximum_failures: the run stops when more videos have failed: a number, or a part of the
            list such as "5%". None for no limit.

    Raises:
        ArgumentError: one of them is no such number.
    """

    video_seconds: float = VIDEO_SECONDS
    video_memory: str | int = VIDEO_MEMORY
    maximum_failures: str | int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.video_seconds < float("inf"):
            raise ArgumentError(
                f"video_seconds: expected 0 (no limit) or more, got {self.video_seconds}"
            )
        _ = self.memory_bytes
        self.most_failures(1)

    def most_failures(self, videos: int) -> float:
        """How many of so many videos may fail.

        >>> RunLimits(maximum_failures="5%").most_failures(1000)
        50.0
        """
        if self.maximum_failures is None:
            return float("inf")
        found = _FAILURES.fullmatch(str(self.maximum_failures))
        if not found or (found[2] and float(found[1]) > 100) or (not found[2] and "." in found[1]):
            raise ArgumentError(
                "maximum_failures: expected a number of videos such as 100, or a part of the list "
                f"such as 5%, got {self.maximum_failures!r}"
            )
        return float(found[1]) * (videos / 100 if found[2] else 1)

    @property
    def memory_bytes(self) -> int:
        """`video_memory` as a number; 0 for no limit."""
        found = _SIZE.fullmatch(str(self.video_memory))
        if not found:
            raise ArgumentError(
                "video_memory: expected a size such as 500MB or 4GB, or 0 for no limit, "
                f"got {self.video_memory!r}"
            )
        number, unit = found.groups()
        return round(float(number) * _UNITS[(unit or "").lower()])


def in_gigabytes(size: float) -> str:
    """A number of bytes as a person reads it.

    >>> in_gigabytes(1_630_000_000), in_gigabytes(52_000_000)
    ('1.6 GB', '52 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
