"""What a run over a list of videos gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, TypeVar

from vidattn.notebook import html_table
from vidattn.runs.failures import is_failure
from vidattn.runs.work import Record


class FoundVideo(Protocol):
    """What a run found of one video."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types."""

    def in_words(self) -> str:
        """The same in a few words, for tables."""

    @property
    def video(self) -> str:
        """The video, as the list named it."""


Found = TypeVar("Found", bound=FoundVideo, covariant=True)


@dataclass(frozen=True)
class VideoFailure:
    """A video that gave no result.

    Attributes:
        video: as the list named it.
        error: name of the error's type.
        reason: in words.
        attempts: how often it was tried.
    """

    video: str
    error: str
    reason: str
    attempts: int = 1

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types."""
        return asdict(self)


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(Generic[Found]):
    """What a run found; has the length, the index and the order of the videos that gave a result.

    Attributes:
        videos: what was found of each video, in the order of the list.
        failures: why the others gave no result.
        settings: all that the results depend on besides the videos, as JSON types.
    """

    videos: Sequence[Found]
    failures: tuple[VideoFailure, ...]
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What the command's JSON file holds."""
        return {
            **self.settings,
            **counts(len(self.videos), self.failures),
            "videos": [each.to_json() for each in self.videos],
        }

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: int) -> Found:
        return self.videos[number]

    def __iter__(self) -> Iterator[Found]:
        return iter(self.videos)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} videos, {len(self.failures)} failed>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a row a video."""
        rows = [(each.video, each.in_words()) for each in self.videos]
        rows += [(each.video, each.reason) for each in self.failures]
        return html_table(repr(self)[1:-1], ("video", "result"), rows)


def counts(done: int, failures: Sequence[VideoFailure]) -> dict[str, Any]:
    """How many videos of a run gave a result, and why the others did not, as JSON types."""
    return {
        "videos_expected": done + len(failures),
        "videos_done": done,
        "videos_failed": len(failures),
        "failures": [each.to_json() for each in failures],
    }


def failures_of(videos: Sequence[str], records: Mapping[int, Record]) -> tuple[VideoFailure, ...]:
    """The failures of a run, in the order of its list.

    Args:
        videos: names, in the order of the list.
        records: number of the video -> its record.
    """
    return tuple(
        VideoFailure(video, *(records[number][key] for key in ("error", "reason", "attempts")))
        for number, video in enumerate(videos)
        if is_failure(records[number])
    )


def in_words(failures: Sequence[VideoFailure], most: int = 5) -> str:
    """The first few failures in one line."""
    shown = [f"{each.video}: {each.reason}" for each in failures[:most]]
    return "; ".join(shown) + ("; …" if len(failures) > most else "")
