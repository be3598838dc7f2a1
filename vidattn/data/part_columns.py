"""Columns of a list that name a part of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vidattn.errors import AnnotationError

# Start and end in seconds; None: the video's own.
Part = tuple[float | None, float | None]
_TIMES = frozenset({"start", "end"})
# Columns that other lists have for the times of a part, or may mean them by.
_OTHER_TIMES = frozenset(
    f"{edge}_{unit}"
    for edge in ("start", "end")
    for unit in ("time", "seconds", "sec", "ms", "frame")
) | {"begin", "stop", "time_start", "time_end", "t_start", "t_end", "frame_start", "frame_end"}


def check_part_columns(header: Sequence[str], path: Path, line: int) -> None:
    """Refuse columns that seem to name a part in a way that is not read.

    Raises:
        AnnotationError: there is one.
    """
    unknown = [name for name in header if name.lower() in _OTHER_TIMES | _TIMES - {name}]
    if unknown:
        raise AnnotationError(
            path,
            line,
            f"column {unknown[0]!r}: a part of a video is named by the columns 'start' and 'end', "
            "in seconds; rename it, or leave it out if the files are the parts",
        )


def read_part(row: Mapping[str, str], path: Path, line: int) -> Part | None:
    """Start and end of a row's part; None where the list has no such columns.

    Raises:
        AnnotationError: they are no seconds, or the part is empty.
    """
    if "start" not in row and "end" not in row:
        return None
    start, end = (_seconds(name, row.get(name, ""), path, line) for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        reason = f"expected an end after the start of {start or 0.0:g} s, got {end:g} s"
        raise AnnotationError(path, line, reason)
    return start, end


def _seconds(name: str, text: str, path: Path, line: int) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise AnnotationError(path, line, f"{name}: expected seconds from 0, got {text!r}")
    return value


def part_suffix(start_seconds: float | None, end_seconds: float | None) -> str:
    """What follows the name of a video where a part is meant.

    >>> part_suffix(None, None), part_suffix(1.5, 20.0), part_suffix(None, 3.0)
    ('', '#t=1.5,20', '#t=0,3')
    """
    if start_seconds is None and end_seconds is None:
        return ""
    start = format(start_seconds or 0.0, ".12g")
    return f"#t={start}" if end_seconds is None else f"#t={start},{end_seconds:.12g}"
