"""Pages on which films are played above what was found in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn import report
from vidattn.files import write_text
from vidattn.jobs.failures_shown import failure_table
from vidattn.runs.outcome import VideoFailure

if TYPE_CHECKING:
    from vidattn.report.sections import Cell, Section

# A page with more is slow to open; the others are in the table, and all in the JSON file.
FILMS_SHOWN = 100
ROWS = 500


@dataclass(frozen=True)
class PlayerPage:
    """What such a page holds.

    Attributes:
        title: of the page.
        record: name of the JSON file that has all videos.
        films: of the first `FILMS_SHOWN` videos, or all.
        header, rows: of a table of all videos.
        failures: videos without a result.
        facts: name -> value, in small print.
    """

    title: str
    record: str
    films: Sequence[report.Film]
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    failures: Sequence[VideoFailure]
    facts: Mapping[str, str]

    def write(self, path: Path) -> None:
        """As one HTML file."""
        expected = len(self.rows) + len(self.failures)
        summary = f"{len(self.rows)} of {expected} videos." if expected > 1 else ""
        sections = list(self._sections())
        write_text(
            path, report.render_page(self.title, sections, summary=summary, facts=self.facts)
        )

    def _sections(self) -> Iterator[Section]:
        more = len(self.rows) - len(self.films)
        note = f"{more} more videos are in {self.record}, and not shown here." if more else ""
        if self.films:
            heading = "Films" if len(self.rows) > 1 else self.films[0].name
            yield report.Player(heading, self.films, note=note)
        if self.failures:
            yield failure_table(self.failures)
        if len(self.rows) > 1:
            more = len(self.rows) - ROWS
            note = f"{more} more are in {self.record}." if more > 0 else ""
            yield report.Table("Videos", self.header, self.rows[:ROWS], note=note)


def source_of(video: str, page: Path) -> str:
    """The address of a video for a browser, seen from a page.

    "" if it is not a file: a folder of images, a member of a tar file, or a remote video, which a
    page must not fetch.
    """
    return report.relative_address(video, page) if os.path.isfile(video) else ""


def installed(versions: Mapping[str, str | None]) -> dict[str, str]:
    """The versions of what is there."""
    return {name: version for name, version in versions.items() if version is not None}
