"""What is recorded of a video that gave no result: the same in every result and journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidattn.errors import InputOutputError, VideoError
from vidattn.runs.work import Record


def failed(error: VideoError) -> Record:
    """The record of a video that cannot be used.

    Raises:
        InputOutputError: `error` is one: the runner tries again, and never blames the video.
    """
    if isinstance(error, InputOutputError):
        raise error
    return failure(type(error).__name__, error.reason)


def failure(error: str, reason: str, attempts: int = 1) -> Record:
    """The record of a video that gave no result.

    Args:
        error: name of the error's type.
        reason: in words.
        attempts: how often it was tried.
    """
    return {"error": error, "reason": reason, "attempts": attempts}


def is_failure(record: Mapping[str, Any]) -> bool:
    """Whether a record is that of a video which gave no result."""
    return "error" in record


def up_to_date(record: Mapping[str, Any]) -> Record:
    """A record of a journal, also one that an earlier version has written."""
    if "failure" in record:
        others = {key: value for key, value in record.items() if key != "failure"}
        return others | failure(VideoError.__name__, record["failure"])
    return {"attempts": 1, **record} if is_failure(record) else dict(record)
