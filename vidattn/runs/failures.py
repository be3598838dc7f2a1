"""What is recorded of a video that gave no result: the same in every result and journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def counted(videos: Sequence[str], records: Mapping[int, Record]) -> dict[str, Any]:
    """How many videos of a run gave a result, and why the others did not.

    Args:
        videos: names, in the order of the run.
        records: number of the video -> its record.

    Returns:
        `videos_expected`, `videos_done`, `videos_failed` and `failures`: for each that failed
        `video`, `error` (name of a type), `reason` and `attempts`.
    """
    failures = [
        {"video": video, **{key: records[number][key] for key in ("error", "reason", "attempts")}}
        for number, video in enumerate(videos)
        if is_failure(records[number])
    ]
    return {
        "videos_expected": len(videos),
        "videos_done": len(videos) - len(failures),
        "videos_failed": len(failures),
        "failures": failures,
    }


def in_words(failures: Sequence[Mapping[str, Any]], most: int = 5) -> str:
    """The first few of a result's `failures`, in one line."""
    shown = [f"{each['video']}: {each['reason']}" for each in failures[:most]]
    return "; ".join(shown) + ("; …" if len(failures) > most else "")


def up_to_date(record: Mapping[str, Any]) -> Record:
    """A record of a journal, also one that an earlier version has written."""
    if "failure" in record:
        others = {key: value for key, value in record.items() if key != "failure"}
        return others | failure(VideoError.__name__, record["failure"])
    return {"attempts": 1, **record} if is_failure(record) else dict(record)
