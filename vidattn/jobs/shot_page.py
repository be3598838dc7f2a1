from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn import report
from vidattn.inference.shots import Shot, Shots
from vidattn.jobs.player_page import FILMS_SHOWN, PlayerPage, installed, source_of

if TYPE_CHECKING:
    from vidattn.jobs.shots import ShotResult


def write_shot_page(
    path: Path, record: str, found: ShotResult, versions: Mapping[str, str | None]
) -> None:
    """Each video with its shots on a time axis, as one HTML page.

    Args:
        record: name of the JSON file beside it.
        found: at least one video.
    """
    PlayerPage(
        "Shots",
        record,
        [_film(each, path) for each in found.videos[:FILMS_SHOWN]],
        ["video", "shots", "seconds"],
        [[each.video, len(each), each.duration_seconds] for each in found.videos],
        found.failures,
        {"detector": found[0].detector, **installed(versions)},
    ).write(path)


def _film(found: Shots, page: Path) -> report.Film:
    shots = [
        report.Span(f"Shot {each.number}", each.start_seconds, each.end_seconds, _note(each))
        for each in found
    ]
    gradual = [
        report.Span(f"{after.begins_with}", before.end_seconds, after.start_seconds)
        for before, after in pairwise(found)
        if after.start_seconds > before.end_seconds
    ]
    tracks = [report.Spans("Shots", shots)]
    if gradual:
        tracks.append(report.Spans("Gradual transitions", gradual))
    return report.Film(
        found.video,
        source_of(found.video, page),
        found[0].start_seconds,
        found[-1].end_seconds,
        found.fps,
        tracks,
    )


def _note(shot: Shot) -> str:
    frames = f"frames {shot.start_frame} – {shot.end_frame - 1}"
    return f"{frames}, after a {shot.begins_with}" if shot.begins_with else frames
