"""How every command over a list of videos ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from vidattn.cli.streams import print_json
from vidattn.runs.outcome import RunResult, VideoFailure


class Remarked(Protocol):
    """What was found of one video, with sentences on what is not as asked for."""

    @property
    def video(self) -> str:
        """The video, as the list named it."""

    @property
    def remarks(self) -> Sequence[str]:
        """Sentences."""


Result = TypeVar("Result", bound=RunResult[Any])


def end_of_run(found: Result | None, *, json: bool, show: Callable[[Result], None]) -> int:
    """Print a result and what failed, and return the command's exit code.

    Args:
        found: None where other processes of a launcher are still at work.
        json: print the whole record instead of what `show` prints.
        show: called with the result.
    """
    if found is None:
        say_share_is_done()
        return 0
    if json:
        print_json(found.to_json())
    else:
        show(found)
    print_failures(found.failures)
    return 1 if found.failures else 0


def print_remarks(videos: Iterable[Remarked]) -> None:
    """A line on standard error for each thing that is not as asked for."""
    for video in videos:
        for remark in video.remarks:
            print(f"vidattn: {video.video}: {remark}", file=sys.stderr)


def say_share_is_done() -> None:
    """For a process of a launcher that is not the last to finish."""
    print("this process has finished; other processes are still working", file=sys.stderr)


def print_failures(failures: Sequence[VideoFailure]) -> None:
    """A line for each on standard error.

    Args:
        failures: of a result.
    """
    for each in failures:
        print(f"vidattn: {each.video}: {each.reason}", file=sys.stderr)
