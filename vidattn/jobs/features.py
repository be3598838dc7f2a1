from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vidattn.errors import AnnotationError, VideoError
from vidattn.files import written_whole
from vidattn.inference.features import FeatureExtractor, FeatureRun, WindowFeatures
from vidattn.inference.reading_ahead import begun_ahead
from vidattn.models import LoadedRecogniser
from vidattn.runs.executors import Engine
from vidattn.runs.failures import failed, failure, is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import RunResult, failures_of
from vidattn.runs.parts import SingleVideos
from vidattn.runs.provenance import versions
from vidattn.runs.result_names import result_names
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import thread_count, work_through
from vidattn.runs.run_network import (
    NETWORK_MODULES,
    device_kind,
    loaded_here,
    loaded_in,
    processes_for,
    to_share,
)
from vidattn.runs.shards import Shard
from vidattn.runs.video_lists import list_digest, listed_videos
from vidattn.runs.work import Group, Record
from vidattn.video import open_video
from vidattn.video.opening import check_decoder
from vidattn.video.sources.addresses import AllowRemote
from vidattn.video.sources.permission import NOTHING_REMOTE, RemotePermission, permission_of


@dataclass(frozen=True)
class FeatureFile:
    """The features of one video.

    Attributes:
        video: as the list named it.
        file: name of the `.npz` file, below the output folder.
        windows: of the video.
        fps, duration_seconds: of the video.
    """

    video: str
    file: str
    windows: int
    fps: float
    duration_seconds: float
    measured: ClassVar = ("windows", "fps", "duration_seconds")

    def to_json(self) -> dict[str, Any]:
        """Its entry in `features.json`."""
        return asdict(self)

    def in_words(self) -> str:
        """How many windows, and where they are."""
        return f"{self.windows} windows in {self.file}"


def write_features(
    checkpoint: str | Path | LoadedRecogniser,
    videos: Iterable[str | Path],
    output: str | Path,
    *,
    stage: str | None = None,
    hop: int | None = None,
    batch_size: int = 8,
    processes: int = 1,
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
    device: str = "cpu",
    decoder: str = "pyav",
    allow_remote: AllowRemote = (),
    video_seconds: float = VIDEO_SECONDS,
    video_memory: str | int = VIDEO_MEMORY,
    maximum_failures: str | int | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> RunResult[FeatureFile] | None:
    """Write the features of sliding windows of videos, a `.npz` file each.

    Each holds `features` (windows, C), `start_seconds`, `end_seconds`, `centre_seconds` (windows,)
    and `indices` (windows, T); `features.json` has settings, and of each video its file or why it
    has none. After an interruption, the same call resumes the run. The processes of a launcher
    divide the videos.

    Args:
        checkpoint: a file, or what `vidattn.models.load` returned.
        videos: videos, folders (searched for videos, with what lies below), tar files, or lists;
            see `vidattn.runs.video_lists`.
        output: folder; below it files are named like the videos below the folder they share.
        stage, hop, batch_size: see `vidattn.inference.features.FeatureExtractor`.
        allow_remote: see `vidattn.open_video`.
        processes, threads, video_seconds, video_memory, maximum_failures, retry_failed: see
            `vidattn.evaluate`.
        engine, address: see `vidattn.evaluate`.
        overwrite: replace the features of an earlier run; see `vidattn.runs.results`.

    Returns:
        what was written; its `to_json` is what `features.json` holds. None in the processes of a
        launcher, except for the last one to finish.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: an argument cannot be used, or the run
            would overwrite a file in `output`.
    """
    given, remote = list(videos), permission_of(allow_remote)
    paths = list(map(str, listed_videos(given, remote)))
    if not paths:
        raise AnnotationError(" ".join(map(str, given)), 0, "no video found")
    check_decoder(decoder)
    limits = RunLimits(video_seconds, video_memory, maximum_failures)
    processes = processes_for(checkpoint, processes)
    loaded = loaded_here(checkpoint, device, processes)
    extractor = FeatureExtractor(loaded, stage=stage, hop=hop, batch_size=batch_size)
    model = to_share(checkpoint, loaded, processes)
    names = [f"{name}.npz" for name in result_names(paths, given)]
    results = ResultFolder(
        output, "features", "features.json", names, overwrite=overwrite, retry_failed=retry_failed
    )
    own = {"stage": extractor.stage.name, "hop": hop, "batch_size": batch_size}
    settings = _settings(
        loaded,
        own
        | {
            "channels": extractor.stage.channels,
            "threads": thread_count(threads, processes),
            "device": device_kind(model, device),
            "decoder": decoder,
        },
    )
    records = work_through(
        _FeatureWork(model, paths, names, results.folder, own, device, decoder, remote),
        SingleVideos(len(paths)),
        paths,
        output=results,
        settings=settings | {"videos": list_digest(paths)},
        processes=processes,
        engine=Engine(engine, address),
        limits=limits,
        imports=NETWORK_MODULES,
        description="extracting",
        progress=progress,
    )
    if records is None:
        return None
    found = RunResult(
        tuple(
            FeatureFile(
                path, names[number], *(records[number][key] for key in FeatureFile.measured)
            )
            for number, path in enumerate(paths)
            if not is_failure(records[number])
        ),
        failures_of(paths, records),
        settings,
    )
    files = [record.get("files", {}) for record in records.values()]
    results.finish(found.to_json(), {name: size for own in files for name, size in own.items()})
    return found


def _settings(loaded: LoadedRecogniser, own: Mapping[str, Any]) -> dict[str, Any]:
    """All that the features depend on besides the videos."""
    return {
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
        "clip": loaded.clip.to_json(),
        **own,
        "versions": versions(own["decoder"]),
    }


@dataclass(frozen=True, eq=False)
class _FeatureWork:
    """The work of a feature run; see `vidattn.runs.work.Work`."""

    model: str | LoadedRecogniser
    paths: Sequence[str]
    names: Sequence[str]
    folder: Path
    settings: Mapping[str, Any]
    device: str
    decoder: str
    remote: RemotePermission = NOTHING_REMOTE

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        loaded = loaded_in(shard, self.model, self.device)
        extractor = FeatureExtractor(loaded, **self.settings)

        def begin(number: int, stack: ExitStack) -> FeatureRun:
            opened = open_video(self.paths[number], self.decoder, allow_remote=self.remote)
            reader = stack.enter_context(opened)
            return stack.enter_context(closing(extractor.begin(reader)))

        ahead = extractor.runner.reads_ahead
        for number, run in begun_ahead((each for [each] in groups), begin, ahead=ahead):
            yield {number: self._one(run, number)}

    def _one(self, run: FeatureRun | Exception, number: int) -> Record:
        try:
            if isinstance(run, Exception):
                raise run
            found = run.finish()
        except VideoError as error:
            return failed(error)
        if not np.isfinite(found.features).all():
            return failure(VideoError.__name__, "the network's features are not finite")
        name = self.names[number]
        _save(self.folder / name, found)
        record = {
            "windows": len(found.features),
            "fps": run.reader.fps,
            "duration_seconds": run.reader.duration_seconds,
        }
        return record | {"files": {name: (self.folder / name).stat().st_size}}


def _save(path: Path, found: WindowFeatures) -> None:
    with written_whole(path) as temporary:
        np.savez(
            temporary,
            features=found.features,
            start_seconds=found.start_seconds,
            end_seconds=found.end_seconds,
            centre_seconds=found.centre_seconds,
            indices=found.indices,
        )
