from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn import report
from vidattn.inference.keyframe_results import KeyFrames
from vidattn.jobs.player_page import PlayerPage, installed, source_of

if TYPE_CHECKING:
    from vidattn.jobs.keyframes import KeyFrameResult
    from vidattn.runs.work import Record

# Key of a video's record for what only the page shows.
DRAWN = "drawn"


def drawn(found: KeyFrames) -> dict[str, Any]:
    """What the page shows of a video besides its entry in `keyframes.json`, as JSON types."""
    curve = found.curve
    seconds, scores = ([], []) if curve is None else report.thin_curve(curve.seconds, curve.scores)
    return {
        "start_seconds": found.start_seconds,
        "shots": [list(shot) for shot in found.shots],
        "curve_seconds": [round(each, 3) for each in seconds],
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
    if video.get("dropped"):
        points = [_point(each, page) for each in video["dropped"]]
        tracks.append(report.Points("Dropped candidates", points, faint=True))
    start = own["start_seconds"]
    times = [start, *own["curve_seconds"], *(each["seconds"] for each in video["frames"])]
    return report.Film(
        video["video"],
        source_of(video["video"], page),
        min(times),
        max(start + video["duration_seconds"], *times),
        video["fps"],
        tracks,
        video["remarks"],
    )


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
