from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.errors import AnnotationError, ArgumentError, VideoError
from vidattn.files import write_csv, write_text, written_together
from vidattn.inference.shots import BUILT_IN, Shots, find_shots, loaded_detector
from vidattn.jobs.shot_page import write_shot_page
from vidattn.naming import choose
from vidattn.report.timelines import TimelineClip, chapters, check_forms, final_cut, timeline
from vidattn.runs.executors import Engine
from vidattn.runs.failures import failed, is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import RunResult, failures_of
from vidattn.runs.parts import SingleVideos
from vidattn.runs.provenance import versions
from vidattn.runs.result_names import result_names
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import work_through
from vidattn.runs.shards import Shard
from vidattn.runs.video_lists import list_digest, videos_and_folders
from vidattn.runs.work import Group, Record
from vidattn.video import open_video
from vidattn.video.excerpts import frame_edges, laid_out, write_excerpts
from vidattn.video.opening import check_decoder, check_salvageable
from vidattn.video.sources.addresses import AllowRemote, as_source
from vidattn.video.sources.permission import NOTHING_REMOTE, RemotePermission, permission_of
from vidattn.video.sources.source import VideoSource

if TYPE_CHECKING:
    from vidattn.inference.transnetv2 import TransNetDetector

RECORD, PAGE = "shots.json", "shots.html"
COLUMNS = ("shot", "start_frame", "end_frame", "start_seconds", "end_seconds", "begins_with")
# Name of a format -> ending of its files.
FORMATS = {
    "csv": ".csv",
    "edl": ".edl",
    "fcpxml": ".fcpxml",
    "otio": ".otio",
    "chapters": ".chapters.txt",
}
FILES = "(shots|shot_[0-9]+|.+-[0-9]+)[.][a-z0-9.]+"


@dataclass(frozen=True, eq=False, repr=False)
class ShotResult(RunResult[Shots]):
    """The shots of the videos of a list: see `RunResult`."""

    def to_json(self) -> dict[str, Any]:
        """What `shots.json` holds: "videos" has the names of their files as keys.

        Whole paths, where two have the same name.
        """
        names = [Path(each.video).name for each in self.videos]
        if len(set(names)) < len(names):
            names = [each.video for each in self.videos]
        videos = {name: each.to_json() for name, each in zip(names, self.videos, strict=True)}
        return super().to_json() | {"videos": videos}


def write_shots(
    videos: Iterable[str | Path],
    output: str | Path | None = None,
    *,
    formats: Sequence[str] = ("csv",),
    split: bool = False,
    detector: str = BUILT_IN,
    device: str = "cpu",
    decoder: str = "pyav",
    salvage: bool = False,
    allow_remote: AllowRemote = (),
    processes: int = 1,
    engine: str = "local",
    address: str | None = None,
    video_seconds: float = VIDEO_SECONDS,
    video_memory: str | int = VIDEO_MEMORY,
    maximum_failures: str | int | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> ShotResult | None:
    """Find the shots of videos and write them to files.

    In `output`: `shots.json`, which `vidattn score shots` reads as predictions; `shots.html`, which
    plays the first 100 videos above their shots; and a folder for each video with its shots in
    every format that was asked for. If a video cannot be read, the
    failure is recorded and the others are processed. After an interruption, the same call resumes
    the run. The processes of a launcher divide the videos.

    Args:
        videos: videos, folders of frame images, folders with videos below, tar files, or lists; see
            `vidattn.runs.video_lists`.
        output: a folder; nothing is written if None.
        formats: of `FORMATS`.
        split: write each shot as a film of its own, with its sound: `shot_0001.mp4` and so on.
            Frames are exact, so they are encoded anew. Needs `output`.
        detector, device: see `vidattn.find_shots`; the name of a detector.
        salvage: read damaged videos too; not with folders of images.
        allow_remote: see `vidattn.open_video`.
        processes, video_seconds, video_memory, maximum_failures, retry_failed: see
            `vidattn.evaluate`.
        engine, address: see `vidattn.evaluate`.
        overwrite: replace the result of an earlier run; see `vidattn.runs.results`.

    Returns:
        the shots of each video; their `to_json` is what `shots.json` holds. None in the processes
        of a launcher, except for the last one to finish.

    Raises:
        AnnotationError, ArgumentError: an argument cannot be used, or the run would overwrite a
            file in `output`.
        MissingLibraryError: the library of the detector is not installed.
    """
    loaded = loaded_detector(detector, device if processes == 0 else "cpu")
    check_decoder(decoder, salvage=salvage)
    for form in formats:
        choose("format", form, FORMATS)
    check_forms(formats)
    if split and output is None:
        raise ArgumentError("split: expected an output folder for the films, got none")
    given, remote = list(videos), permission_of(allow_remote)
    names = list(dict.fromkeys(map(str, videos_and_folders(given, remote))))
    if not names:
        raise AnnotationError(" ".join(map(str, given)), 0, "no video found")
    if salvage:
        check_salvageable(names)
    folders = result_names(names, given)
    results = None
    if output is not None:
        results = ResultFolder(
            output,
            "shots",
            RECORD,
            [PAGE],
            folders=folders,
            pattern=FILES,
            overwrite=overwrite,
            retry_failed=retry_failed,
        )
    own = {"formats": list(formats), "decoder": decoder, "salvage": salvage}
    own |= {"split": True} if split else {}
    if loaded is not None:
        own |= {"detector": detector, "device": device.partition(":")[0]}
    software = versions(decoder)
    network = _NetworkOfWork(detector, device, loaded if processes == 0 else None)
    records = work_through(
        _ShotWork(
            names, folders, results, tuple(formats), split, network, decoder, salvage, remote
        ),
        SingleVideos(len(names)),
        names,
        output=results,
        settings=own | {"threads": 1, "versions": software, "videos": list_digest(names)},
        processes=processes,
        engine=Engine(engine, address),
        limits=RunLimits(video_seconds, video_memory, maximum_failures),
        description="finding shots",
        progress=progress and len(names) > 1,
    )
    if records is None:
        return None
    done = [records[number] for number in range(len(names)) if not is_failure(records[number])]
    found = ShotResult(tuple(map(Shots.from_json, done)), failures_of(names, records), own)
    if results is not None and not done:
        results.abandon()
    elif results is not None:
        write_shot_page(results.folder / PAGE, RECORD, found, software)
        sizes = {name: size for record in done for name, size in record["files"].items()}
        sizes[PAGE] = (results.folder / PAGE).stat().st_size
        results.finish(found.to_json(), sizes)
    return found


@dataclass(frozen=True, eq=False)
class _NetworkOfWork:
    """A detector by its name, and where the processes of a run put its network."""

    name: str
    device: str
    loaded: TransNetDetector | None

    def in_process(self, shard: Shard) -> str | TransNetDetector:
        """The detector, loaded once for all videos of a process."""
        found = self.loaded or loaded_detector(self.name, shard.device(self.device))
        return self.name if found is None else found


@dataclass(frozen=True, eq=False)
class _ShotWork:
    """The work of such a run; see `vidattn.runs.work.Work`."""

    videos: Sequence[str]
    folders: Sequence[str]
    results: ResultFolder | None
    formats: Sequence[str]
    split: bool
    network: _NetworkOfWork
    decoder: str
    salvage: bool
    remote: RemotePermission = NOTHING_REMOTE

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        detector = self.network.in_process(shard)
        for [number] in groups:
            try:
                source = as_source(self.videos[number], self.remote)
                found = find_shots(
                    source,
                    detector=detector,
                    decoder=self.decoder,
                    salvage=self.salvage,
                )
                record = found.to_json()
                if self.results is not None:
                    record["files"] = self._write(self.results, self.folders[number], source, found)
            except VideoError as error:
                record = failed(error)
            yield {number: record}

    def _write(
        self, results: ResultFolder, folder: str, source: VideoSource, found: Shots
    ) -> dict[str, int]:
        target = results.folder / folder
        with written_together(target, beside=results.journal_folder) as temporary:
            for form in self.formats:
                write_form(temporary / f"shots{FORMATS[form]}", form, found)
            if self.split:
                self._write_clips(temporary, source, found)
            files = sorted(temporary.iterdir())
            sizes = {f"{folder}/{file.name}": file.stat().st_size for file in files}
            results.remove_replaced(folder)
        return sizes

    def _write_clips(self, folder: Path, source: VideoSource, found: Shots) -> None:
        with open_video(source, self.decoder, salvage=self.salvage) as reader:
            edges = frame_edges(reader.frame_times)
            for each in found:
                parts = laid_out([(each.start_frame, each.end_frame)], edges)
                write_excerpts(folder / f"shot_{each.number:04d}.mp4", reader, parts)


def write_form(path: Path, form: str, found: Shots) -> None:
    """Write the shots of one video in one of `FORMATS`."""
    if form == "csv":
        rows = [
            (
                each.number,
                each.start_frame,
                each.end_frame,
                round(each.start_seconds, 6),
                round(each.end_seconds, 6),
                each.begins_with or "",
            )
            for each in found
        ]
        write_csv(path, COLUMNS, rows)
        return
    first = found[0].start_seconds
    segments = [
        TimelineClip(
            f"Shot {each.number}",
            each.start_frame,
            each.end_frame,
            each.start_seconds - first,
            each.end_seconds - first,
        )
        for each in found
    ]
    video = found.video
    if form == "chapters":
        write_text(path, chapters(Path(video).name, segments))
    elif form == "fcpxml":
        write_text(path, final_cut(video, found.fps, found.size, segments))
    else:
        write_text(path, timeline(form, video, found.fps, segments))
