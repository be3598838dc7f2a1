from __future__ import annotations

import re
from dataclasses import dataclass

from vidattn.errors import ArgumentError

VIDEO_SECONDS = 120.0
VIDEO_MEMORY = "4GB"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
          "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class RunLimits:
    """What one video may take of the process that works on it.

    Args:
        video_seconds: for which nothing moves: no frame was decoded and no part of the video done.
            A long film may take hours. 0 for no limit.
        video_memory: bytes, or a size such as "500MB", "4GB" or "2GiB", that the process and those
            that it started hold in memory. 0 for no limit.

    Raises:
        ArgumentError: one of them is no such number.
    """

    video_seconds: float = VIDEO_SECONDS
    video_memory: str | int = VIDEO_MEMORY

    def __post_init__(self) -> None:
        if not 0 <= self.video_seconds < float("inf"):
            raise ArgumentError(
                f"video_seconds: expected 0 (no limit) or more, got {self.video_seconds}"
            )
        _ = self.memory_bytes

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
