from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidattn import report
from vidattn.inference.keyframe_results import KeyFrames, ScoreCurve
from vidattn.jobs.player_page import PlayerPage, installed, source_of

if TYPE_CHECKING:
    from vidattn.jobs.keyframe_result import KeyFrameResult
    from vidattn.runs.work import Record

# Key of a video's record for what only the page shows.
DRAWN = "drawn"


def drawn(found: KeyFrames) -> dict[str, Any]:
    """What the page shows of a video besides its entry in `keyframes.json`, as JSON types."""
    curve = found.curve or ScoreCurve(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    # Some files show several frames at one time.
    times, places = np.unique(curve.seconds.round(3), return_index=True)
    seconds, scores = report.thin_curve(times, curve.scores[places])
    return {
        "start_seconds": found.start_seconds,
        "shots": [list(shot) for shot in found.shots],
        "curve_seconds": seconds,
        "curve_scores": [float(f"{each:.4g}") for each in scores],
    }


def write_keyframe_page(
    path: Path,
    record: str,
    found: KeyFrameResult,
    videos: list[Record],
    versions: Mapping[str, str | None],
) -> None:
    """Each video with its key frames on a time axis, as one HTML page.

    Args:
        record: name of the JSON file beside it.
        found: at least one video.
        videos: what the run noted of each; the page shows those with `DRAWN`.
    """
    films = [_film(each, each[DRAWN], path) for each in videos if DRAWN in each]
    PlayerPage(
        "Key frames",
        record,
        films,
        ["video", "key frames", "seconds"],
        [[each["video"], len(each["frames"]), each["duration_seconds"]] for each in videos],
        found.failures,
        {"method": videos[0]["method"], **installed(versions)},
    ).write(path)


def _film(video: Record, own: Mapping[str, Any], page: Path) -> report.Film:
    shots = [
        report.Span(f"Shot {number}", start, end)
        for number, (start, end) in enumerate(own["shots"], 1)
    ]
    tracks: list[report.Spans | report.Curve | report.Points] = []
    if shots:
        tracks.append(report.Spans("Shots", shots, listed=False))
    if own["curve_seconds"]:
        name = f"Score: {video['score']}"
        tracks.append(report.Curve(name, own["curve_seconds"], own["curve_scores"]))
    tracks.append(report.Points("Key frames", [_point(each, page) for each in video["frames"]]))
    tracks += _dropped(video.get("dropped", ()), page)
    remarks = list(video["remarks"])
    if video.get("dropped") == []:
        remarks.append("No candidate was dropped; only the score coverage has candidates.")
    start = own["start_seconds"]
    times = [start, start + video["duration_seconds"]]
    times += [seconds for track in tracks for seconds in track.times()]
    return report.Film(
        video["video"],
        source_of(video["video"], page),
        min(times),
        max(times),
        video["fps"],
        tracks,
        remarks,
    )


def _dropped(frames: Iterable[Mapping[str, Any]], page: Path) -> Iterator[report.Points]:
    """A track for each reason, whatever key frame it names; the most frequent one first."""
    by_reason: dict[str, list[report.Point]] = {}
    for each in frames:
        reason = re.sub(r"\bframe \d+", "a key frame", each["reason"])
        by_reason.setdefault(reason, []).append(_point(each, page))
    for reason, points in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        yield report.Points(f"Dropped: {reason}", points, faint=True)


def _point(frame: Mapping[str, Any], page: Path) -> report.Point:
    image = frame.get("image", "")
    words = [frame["reason"], f"score {frame['score']:.3g}"]
    if frame.get("label"):
        words.append(f"{frame['label']} {frame['probability']:.0%}")
    return report.Point(
        f"Frame {frame['frame_index']}",
        frame["seconds"],
        ", ".join(filter(None, words)),
        report.relative_address(page.parent / image, page) if image else "",
    )
