from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from vidattn.errors import ArgumentError, ProcessError, VideoError
from vidattn.files import OVERWRITE, check_unused, write_json
from vidattn.pools import interrupts_held, worker_pool
from vidattn.runs.video_lists import listed_videos
from vidattn.video import VideoReader, open_video

# What a kill may cost at least, and the share of the time that writing the report may take: it is
# written whole each time, and that of a million videos is large.
SAVE_SECONDS, SAVE_SHARE = 5.0, 0.05
# Videos for each worker that are given out before those before them are back.
_AHEAD = 2

Look = Callable[[Path], dict[str, Any]]


def index_videos(
    paths: Iterable[str | Path],
    *,
    report: str | Path | None = None,
    workers: int = 1,
    salvage: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Look every video over, and keep its packet table so that later opening is quick.

    Args:
        paths: videos, folders (searched for videos, with what lies below), or `.txt` files with
            one path a line, relative to the list.
        report: JSON file for the records; videos that it already holds, unchanged since, are
            not looked at again. Nothing is written if None. A file that is no report of this
            command is never written over.
        workers: processes. From two on, one that dies costs no more than a record that says at
            which video.
        salvage: decode every video once, and say which frames are damaged.
        overwrite: drop what the report holds of videos that are not among these.

    Returns:
        a record for each video: see `examine`.

    Raises:
        AnnotationError: a path or a line names nothing.
        ArgumentError: `report` is something else, or would lose records.
        ProcessError: no worker can be started.
    """
    if workers < 1:
        raise ArgumentError(f"workers: expected at least 1, got {workers}")
    videos = list(dict.fromkeys(listed_videos(paths)))
    if report is not None:
        check_unused(report, overwrite=True)  # refuses folders
    known = _known(report)
    if report is not None and not overwrite:
        _check_kept(report, known, videos)
    found = {
        str(video): known[str(video)]
        for video in videos
        if str(video) in known
        and _state(video) == known[str(video)]["state"]
        and (not salvage or "salvage" in known[str(video)])
        and ("error" in known[str(video)] or "intra_frame_count" in known[str(video)])
    }
    remaining = [video for video in videos if str(video) not in found]
    records = track(
        examined(remaining, partial(examine, salvage=salvage), workers),
        total=len(remaining),
        description="indexing",
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    )
    written = _Report(report)
    try:
        for record in records:
            found[record["video"]] = record
            written.now_and_then(found)
    except BaseException:
        written.now(found.values())
        raise
    ordered = [found[str(video)] for video in videos]
    written.now(ordered)
    return ordered


def examine(path: str | Path, *, salvage: bool = False) -> dict[str, Any]:
    """What one video is, and what is wrong with it; its packet table is kept.

    Returns:
        `video`, `state` (size and time of change, to tell whether it changed), and either
        `error` (its type) and `reason`, or what `VideoMetadata` holds, pictures_decoded (False:
        damage inside pictures would not have been seen) and table_not_kept (why, or None).
        With `salvage` also `salvage`: frame_count, valid_frames, packet_count, declared_frames
        and damaged_spans (first frame, last frame, what is wrong), or `error` and `reason`.
    """
    record = _record(Path(path))
    try:
        with open_video(path) as reader:
            record |= reader.metadata.to_json() | {"pictures_decoded": salvage}
            record["table_not_kept"] = _keep_table(reader)
    except VideoError as error:
        record |= {"error": type(error).__name__, "reason": error.reason}
    if salvage:
        record["salvage"] = _salvaged(path)
    return record


def _keep_table(reader: VideoReader) -> str | None:
    """Why it cannot be kept, such as in a home that is read-only; None if it is."""
    try:
        reader.keep_packet_table()
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None


def _salvaged(path: str | Path) -> dict[str, Any]:
    try:
        with open_video(path, salvage=True) as reader:
            metadata = reader.metadata
            return {
                "frame_count": metadata.frame_count,
                "valid_frames": len(reader.valid_indices()),
                "packet_count": metadata.packet_count,
                "declared_frames": metadata.declared_frames,
                "damaged_spans": [list(span) for span in reader.damaged_spans],
            }
    except VideoError as error:
        return {"error": type(error).__name__, "reason": error.reason}


def examined(videos: Sequence[Path], look: Look, workers: int) -> Iterator[dict[str, Any]]:
    """The records of videos, as they come.

    Args:
        look: makes the record of a video; picklable.
        workers: processes.
    """
    if workers == 1 or len(videos) < 2:
        yield from map(look, videos)
        return
    remaining = iter(videos)
    # One of those that were in work when a process died killed it: each is looked at once more.
    while suspects := (yield from _side_by_side(remaining, look, workers)):
        yield from _one_by_one(suspects, look)


def _side_by_side(
    videos: Iterator[Path], look: Look, workers: int
) -> Generator[dict[str, Any], None, list[Path]]:
    """Those that were in work when a process died; none once all are done."""
    given: dict[Future[dict[str, Any]], Path] = {}
    refused: list[Path] = []
    with worker_pool(workers) as pool:
        try:
            while True:
                while len(given) < _AHEAD * workers and (video := next(videos, None)):
                    refused = [video]
                    with interrupts_held():
                        given[pool.submit(look, video)] = video
                    refused = []
                if not given:
                    return []
                for future in wait(given, return_when=FIRST_COMPLETED).done:
                    record = future.result()
                    del given[future]
                    yield record
        except BrokenProcessPool:
            return [*given.values(), *refused]


def _one_by_one(videos: Iterable[Path], look: Look) -> Iterator[dict[str, Any]]:
    remaining = deque(videos)
    while remaining:
        with worker_pool(1) as pool:
            _check_alive(pool)
            try:
                while remaining:
                    with interrupts_held():
                        asked = pool.submit(look, remaining[0])
                    record = asked.result()
                    remaining.popleft()
                    yield record
            except BrokenProcessPool:
                yield {
                    **_record(remaining.popleft()),
                    "error": ProcessError.__name__,
                    "reason": "the process that read it died",
                }


def _check_alive(pool: ProcessPoolExecutor) -> None:
    """Before a video is said to have killed a process."""
    try:
        with interrupts_held():
            asked = pool.submit(os.getpid)
        asked.result()
    except BrokenProcessPool as error:
        raise ProcessError(
            "processes die as soon as they are started; a script that has them started needs "
            "`if __name__ == '__main__':` around that"
        ) from error


class _Report:
    """The file of a run's records; none is written if `path` is None."""

    def __init__(self, path: str | Path | None) -> None:
        self._path = path
        self._written, self._took = time.monotonic(), 0.0

    def now_and_then(self, found: dict[str, dict[str, Any]]) -> None:
        """Write the records if it is time to."""
        if time.monotonic() - self._written >= max(SAVE_SECONDS, self._took / SAVE_SHARE):
            self.now(found.values())

    def now(self, found: Iterable[dict[str, Any]]) -> None:
        """Write the records."""
        if self._path is None:
            return
        started = time.monotonic()
        records = list(found)
        failed = sum("error" in record for record in records)
        whole = {"videos_found": len(records), "videos_failed": failed, "videos": records}
        write_json(self._path, whole)
        self._written = time.monotonic()
        self._took = self._written - started


def _record(video: Path) -> dict[str, Any]:
    return {"video": str(video), "state": _state(video)}


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
        content = json.loads(Path(report).read_text(encoding="utf-8"))
        if not {"videos_found", "videos_failed"} <= set(content):
            raise KeyError("videos_found")
        return {
            record["video"]: record for record in content["videos"] if record["state"] is not None
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ArgumentError(
            f"report: {report} is no report of this command; nothing is written over it"
        ) from error


def _check_kept(report: str | Path, known: Mapping[str, Any], videos: Sequence[Path]) -> None:
    """Refuse to drop records of videos that are still there but were not given this time."""
    lost = [name for name in known.keys() - set(map(str, videos)) if os.path.exists(name)]
    if lost:
        raise ArgumentError(
            f"report: {report} holds {len(lost)} videos that are not given now, such as {lost[0]}; "
            f"give them too, or another file; {OVERWRITE} drops them"
        )
