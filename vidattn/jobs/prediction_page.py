from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn import report
from vidattn.files import write_text
from vidattn.inference.predictions import RecognitionPrediction
from vidattn.jobs.failures_shown import failure_table

if TYPE_CHECKING:
    from vidattn.jobs.predict import Predictions
    from vidattn.report.sections import Cell, Section

# A page with more is slow to open; the others are in the table.
VIDEOS_DRAWN = 50
ROWS = 500


def write_prediction_page(path: Path, found: Predictions) -> None:
    """Each video's class, and when which class is seen, as one HTML page."""
    settings = found.settings
    expected = len(found) + len(found.failures)
    page = report.render_page(
        "Predictions",
        list(_sections(found)),
        summary=f"{len(found)} of {expected} videos, in steps of {settings['every_seconds']:g} s.",
        facts={
            "checkpoint": f"{settings['checkpoint']} ({settings['checkpoint_sha256'][:12]})",
            "decoder": settings["decoder"],
            **settings["versions"],
        },
    )
    write_text(path, page)


def _sections(found: Predictions) -> Iterator[Section]:
    rows: list[list[Cell]] = [
        [each.video, each.label, each.probability] for each in found.videos[:ROWS]
    ]
    more = f"{len(found) - ROWS} more are in predictions.json." if len(found) > ROWS else ""
    header = ["video", "class", "probability"]
    yield report.Table("Videos", header, rows, percent=True, note=more)
    if found.failures:
        yield failure_table(found.failures)
    for each in found.videos[:VIDEOS_DRAWN]:
        yield _timeline(each)


def _timeline(found: RecognitionPrediction) -> Section:
    start, end = found[0].start_seconds, found[-1].end_seconds
    sentences = [f"{start:.2f} – {end:.2f} s", *found.remarks]
    return report.SegmentRows(
        found.video,
        [
            report.Segment(each.label, each.start_seconds, each.end_seconds, each.probability)
            for each in found.segments()
        ],
        start,
        end,
        note=" ".join(f"{sentence}." for sentence in sentences),
    )
