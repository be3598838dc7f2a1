from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vidattn.arrays import at_least
from vidattn.errors import AnnotationError, ArgumentError, VideoError
from vidattn.jobs.index_report import COMMAND, IndexReport, report_of
from vidattn.runs.executors import Engine
from vidattn.runs.failures import failed, failure, is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import RunResult, failures_of
from vidattn.runs.parts import SingleVideos
from vidattn.runs.run import work_through
from vidattn.runs.shards import Shard
from vidattn.runs.video_lists import list_digest, listed_videos
from vidattn.runs.work import Group, Record
from vidattn.video import VideoMetadata, VideoReader, open_video
from vidattn.video.sources.addresses import AllowRemote, VideoLike
from vidattn.video.sources.permission import NOTHING_REMOTE, RemotePermission, permission_of


@dataclass(frozen=True)
class IndexedVideo:
    """What one video is.

    Attributes:
        video: as the list named it.
        metadata: its frames, times, codec.
        pictures_decoded: whether damage inside pictures would have been seen.
        table_not_kept: why its packet table is not kept for later; None if it is.
        damaged_spans: first frame, last frame and what is wrong; None where it was not salvaged.
    """

    video: str
    metadata: VideoMetadata
    pictures_decoded: bool
    table_not_kept: str | None = None
    damaged_spans: tuple[tuple[int, int, str], ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types."""
        return asdict(self) | {"metadata": self.metadata.to_json()}

    def in_words(self) -> str:
        """How many frames, and how long they last."""
        return f"{self.metadata.frame_count} frames, {self.metadata.duration_seconds:.1f} s"


@dataclass(frozen=True, eq=False, repr=False)
class IndexResult(RunResult[IndexedVideo]):
    """What is known of the videos of a list: see `RunResult`.

    Attributes:
        records: of every video, those without a result too, as the report holds them.
    """

    records: Mapping[str, Record]

    def to_json(self) -> dict[str, Any]:
        """What the report holds."""
        return report_of(self.records)


def index_videos(
    paths: Iterable[str | Path],
    *,
    report: str | Path | None = None,
    processes: int = 1,
    engine: str = "local",
    address: str | None = None,
    video_seconds: float = VIDEO_SECONDS,
    video_memory: str | int = VIDEO_MEMORY,
    maximum_failures: str | int | None = None,
    salvage: bool = False,
    allow_remote: AllowRemote = (),
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> IndexResult | None:
    """Examine every video, and save its packet table, so that opening it later is fast.

    With `report`, the same call resumes an interrupted run, and the processes of a launcher divide
    the videos. Until the report is written, a folder beside it holds the records.

    Args:
        paths: videos, folders (searched for videos, with what lies below), tar files, or lists; see
            `vidattn.runs.video_lists`.
        report: JSON file for the records; videos that it already holds, unchanged since, are
            not looked at again. Nothing is written if None. A file that is no report of this
            command is never written over.
        processes, video_seconds, video_memory, maximum_failures, retry_failed: see
            `vidattn.evaluate`.
        engine, address: see `vidattn.evaluate`.
        salvage: decode every video once, and report which frames are damaged.
        allow_remote: see `vidattn.open_video`.
        overwrite: remove other videos from the report, and try failed videos again.

    Returns:
        what was found of each video; its `to_json` is what the report holds. None in the processes
        of a launcher, except for the last one to finish.

    Raises:
        AnnotationError: a path or a line names nothing, or there is no video.
        ArgumentError: `report` is something else, or would lose records.
        UndoneError, ProcessError: see `vidattn.runs.run.work_through`.
    """
    limits = RunLimits(video_seconds, video_memory, maximum_failures)
    at_least("processes", processes, 0)
    given, remote = list(paths), permission_of(allow_remote)
    videos = list(map(str, listed_videos(given, remote)))
    if not videos:
        raise AnnotationError(" ".join(map(str, given)), 0, "no video found")
    settings = {
        "command": COMMAND,
        "salvage": salvage,
        "videos": list_digest(videos),
        "threads": 1,
    }
    file = None
    if report is not None:
        file = IndexReport(
            report, videos, salvage=salvage, overwrite=overwrite, retry_failed=retry_failed
        )
    records = work_through(
        _Indexing(videos, salvage, remote),
        SingleVideos(len(videos)),
        videos,
        output=file,
        settings=settings,
        processes=processes,
        engine=Engine(engine, address),
        limits=limits,
        known={} if file is None else file.known,
        description="indexing",
        progress=progress,
    )
    if records is None:
        return None
    own = dict(records)
    for record in own.values():
        if salvage and is_failure(record):  # also of a video that its process was lost at
            record.setdefault("salvage", failure(record["error"], record["reason"]))
    if file is not None:
        file.finish(own)
    return IndexResult(
        tuple(_indexed(own[n]) for n in range(len(videos)) if not is_failure(own[n])),
        failures_of(videos, own),
        {"salvage": salvage},
        {video: own[number] for number, video in enumerate(videos)},
    )


def _indexed(record: Record) -> IndexedVideo:
    own = {each.name: record[each.name] for each in fields(VideoMetadata) if each.name in record}
    metadata = VideoMetadata(**own | {"size": tuple(own["size"])})
    spans = record.get("salvage", {}).get("damaged_spans")
    return IndexedVideo(
        record["video"],
        metadata,
        record["pictures_decoded"],
        record["table_not_kept"],
        None if spans is None else tuple((first, last, why) for first, last, why in spans),
    )


@dataclass(frozen=True, eq=False)
class _Indexing:
    """The work of such a run; see `vidattn.runs.work.Work`."""

    videos: Sequence[str]
    salvage: bool
    remote: RemotePermission = NOTHING_REMOTE

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        for [number] in groups:
            video = self.videos[number]
            yield {number: examine(video, salvage=self.salvage, allow_remote=self.remote)}


def examine(video: VideoLike, *, salvage: bool = False, allow_remote: AllowRemote = ()) -> Record:
    """What one video is, and what is wrong with it; its packet table is kept.

    Returns:
        either `error` (its type), `reason` and `attempts`, or what `VideoMetadata` holds,
        pictures_decoded (False: damage inside pictures would not have been seen) and
        table_not_kept (why, or None).
        With `salvage` also `salvage`: frame_count, valid_frames, packet_count, declared_frames
        and damaged_spans (first frame, last frame, what is wrong), or `error` and `reason`.
    """
    record: Record = {}
    try:
        with open_video(video, allow_remote=allow_remote) as reader:
            record = reader.metadata.to_json() | {"pictures_decoded": salvage}
            record["table_not_kept"] = _keep_table(reader)
    except VideoError as error:
        record = failed(error)
    if salvage:
        record["salvage"] = _salvaged(video, allow_remote)
    return record


def _keep_table(reader: VideoReader) -> str | None:
    """Why it cannot be kept, such as in a home that is read-only; None if it is."""
    try:
        reader.keep_packet_table()
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except ArgumentError as error:  # nothing tells when it changes
        return str(error)
    return None


def _salvaged(video: VideoLike, allow_remote: AllowRemote) -> Record:
    try:
        with open_video(video, salvage=True, allow_remote=allow_remote) as reader:
            metadata = reader.metadata
            return {
                "frame_count": metadata.frame_count,
                "valid_frames": len(reader.valid_indices()),
                "packet_count": metadata.packet_count,
                "declared_frames": metadata.declared_frames,
                "damaged_spans": [list(span) for span in reader.damaged_spans],
            }
    except VideoError as error:
        return failed(error)
