from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from vidattn.errors import ArgumentError, VideoError
from vidattn.files import write_json
from vidattn.jobs.video_lists import listed_videos
from vidattn.video.index_cache import store_table
from vidattn.video.pyav_reader import PyavReader
from vidattn.video.salvaging_reader import SalvagingReader

# Files between two writes of the report: what an interruption may cost.
SAVE_EVERY = 200


def index_videos(
    paths: Iterable[str | Path],
    *,
    report: str | Path | None = None,
    workers: int = 1,
    salvage: bool = False,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Look every video over, and keep its packet table so that later opening is quick.

    Args:
        paths: videos, folders (searched for videos, with what lies below), or `.txt` files with
            one path a line, relative to the list.
        report: JSON file for the records; videos that it already holds, unchanged since, are
            not looked at again. Nothing is written if None.
        workers: processes.
        salvage: decode every video once, and say which frames are damaged.

    Returns:
        a record for each video: see `examine`.

    Raises:
        AnnotationError: a path or a line names nothing.
    """
    if workers < 1:
        raise ArgumentError(f"workers: expected at least 1, got {workers}")
    videos = list(dict.fromkeys(listed_videos(paths)))
    known = _known(report)
    found = {
        str(video): known[str(video)]
        for video in videos
        if str(video) in known
        and _state(video) == known[str(video)]["state"]
        and (not salvage or "salvage" in known[str(video)])
    }
    remaining = [video for video in videos if str(video) not in found]
    records = track(
        _examined(remaining, workers, salvage),
        total=len(remaining),
        description="indexing",
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    )
    for number, record in enumerate(records, start=1):
        found[record["video"]] = record
        if report is not None and number % SAVE_EVERY == 0:
            _write(report, found.values())
    ordered = [found[str(video)] for video in videos]
    if report is not None:
        _write(report, ordered)
    return ordered


def examine(path: str | Path, *, salvage: bool = False) -> dict[str, Any]:
    """What one video is, and what is wrong with it; its packet table is kept.

    Returns:
        `video`, `state` (size and time of change, to tell whether it changed), and either
        `error` (its type) and `reason`, or frame_count, fps, duration_seconds, first_seconds,
        size, codec, container, quarter_turns, mirrored, keyframe_count,
        longest_keyframe_gap_seconds, timestamps_made_up, full_decode_reason, damage.
        With `salvage` also `salvage`: frame_count, valid_frames, packet_count, declared_frames
        and damaged_spans (first frame, last frame, what is wrong), or `error` and `reason`.
    """
    record: dict[str, Any] = {"video": str(path), "state": _state(Path(path))}
    try:
        with PyavReader(path) as reader:
            seconds = np.array(reader.seconds_of(range(len(reader))))
            keys = reader.keyframe_indices()
            bounds = np.append(seconds[keys], seconds[-1])
            record |= {
                "frame_count": len(reader),
                "fps": reader.fps,
                "duration_seconds": reader.duration_seconds,
                "first_seconds": float(seconds[0]),
                "size": list(reader.size),
                "codec": reader.codec,
                "container": reader.container_format,
                "quarter_turns": reader.orientation.quarter_turns,
                "mirrored": reader.orientation.mirrored,
                "keyframe_count": len(keys),
                "longest_keyframe_gap_seconds": float(np.diff(bounds).max(initial=0)),
                "timestamps_made_up": reader.timestamps_made_up,
                "full_decode_reason": reader.full_decode_reason,
                "damage": reader.damage,
            }
            store_table(Path(path), reader.packet_table)
    except VideoError as error:
        record |= {"error": type(error).__name__, "reason": error.reason}
    if salvage:
        record["salvage"] = _salvaged(path)
    return record


def _salvaged(path: str | Path) -> dict[str, Any]:
    try:
        with SalvagingReader(path) as reader:
            return {
                "frame_count": len(reader),
                "valid_frames": len(reader.valid_indices()),
                "packet_count": reader.packet_count,
                "declared_frames": reader.declared_frames,
                "damaged_spans": [list(span) for span in reader.damaged_spans],
            }
    except VideoError as error:
        return {"error": type(error).__name__, "reason": error.reason}


def _examined(videos: Sequence[Path], workers: int, salvage: bool) -> Iterator[dict[str, Any]]:
    look = partial(examine, salvage=True) if salvage else examine
    if workers == 1 or len(videos) < 2:
        yield from map(look, videos)
        return
    # Started afresh: a forked decoder library may hold a lock that nobody will release.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(look, video) for video in videos]):
            yield future.result()


def _state(video: Path) -> list[int]:
    try:
        status = video.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _known(report: str | Path | None) -> dict[str, dict[str, Any]]:
    if report is None or not Path(report).is_file():
        return {}
    try:
        records = json.loads(Path(report).read_text(encoding="utf-8"))["videos"]
        return {record["video"]: record for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise ArgumentError(f"report: {report} is no report of this command") from error


def _write(report: str | Path, records: Iterable[dict[str, Any]]) -> None:
    videos = list(records)
    failed = sum("error" in record for record in videos)
    write_json(report, {"videos_found": len(videos), "videos_failed": failed, "videos": videos})
