from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.data.actions import AnnotatedVideo, read_actions
from vidattn.errors import ArgumentError, VideoError
from vidattn.inference import baselines as whereabouts
from vidattn.jobs import attention_figures
from vidattn.jobs.attention_record import AttendedVideo, AttentionEvaluation
from vidattn.jobs.evaluation_folder import evaluation_folder
from vidattn.models import LoadedRecogniser
from vidattn.naming import choose
from vidattn.runs.executors import Engine
from vidattn.runs.failures import failed, is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import failures_of, in_words
from vidattn.runs.parts import SingleVideos
from vidattn.runs.provenance import times, versions
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
from vidattn.runs.work import Group, Record
from vidattn.video import open_video


def evaluate_attention(
    checkpoint: str | Path | LoadedRecogniser,
    data: str | Path,
    *,
    task: str = "keyframes",
    count: int = 5,
    minimum_gap_seconds: float = 0.5,
    processes: int = 1,
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
    device: str = "cpu",
    decoder: str = "pyav",
    video_seconds: float = VIDEO_SECONDS,
    video_memory: str | int = VIDEO_MEMORY,
    maximum_failures: str | int | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> AttentionEvaluation | None:
    """How often a model's key frames are inside the action, or its regions on the actor.

    The result also has baselines without a model, with the same budget: see
    `attention_figures.measure`. Runs are resumed and divided among processes as in
    `vidattn.evaluate`.

    Args:
        checkpoint: a file, or what `vidattn.models.load` returned.
        data: JSON file with the actions of videos: see `vidattn.data.actions.read_actions`.
        task: "keyframes" or "regions".
        count: key frames a video.
        minimum_gap_seconds: between them.
        processes, threads, decoder, engine, address: see `vidattn.evaluate`.
        video_seconds, video_memory, maximum_failures, retry_failed: see `vidattn.evaluate`.
        output: folder for `evaluation.json` and `evaluation.html`; nothing is written if None.
        overwrite: replace the result of an earlier run there; see `vidattn.runs.results`.

    Returns:
        figures and videos; None in the processes of a launcher, except for the last one to finish.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: an argument cannot be used.
    """
    started = time.perf_counter()
    choose("task", task, attention_figures.FIGURES)
    if count < 1 or not 0 <= minimum_gap_seconds < float("inf"):
        raise ArgumentError(
            f"expected count ≥ 1 and minimum_gap_seconds ≥ 0, got {count} and {minimum_gap_seconds}"
        )
    limits = RunLimits(video_seconds, video_memory, maximum_failures)
    processes = processes_for(checkpoint, processes)
    loaded = loaded_here(checkpoint, device, processes)
    videos = read_actions(data, boxes=task == "regions")
    options = {"count": count, "minimum_gap_seconds": minimum_gap_seconds}
    work = _AttentionWork(
        to_share(checkpoint, loaded, processes),
        videos,
        str(data),
        task,
        options,
        device,
        decoder,
    )
    settings = _settings(work, loaded, thread_count(threads, processes))
    results = evaluation_folder(output, overwrite=overwrite, retry_failed=retry_failed)
    records = work_through(
        work,
        SingleVideos(len(videos)),
        [video.path for video in videos],
        output=results,
        settings=settings,
        processes=processes,
        engine=Engine(engine, address),
        limits=limits,
        imports=NETWORK_MODULES,
        description="evaluating",
        progress=progress,
    )
    if records is None:
        return None
    found = _gathered(videos, records, task, settings, times(started))
    if results is not None:
        _write(results, found)
    return found


def _settings(work: _AttentionWork, loaded: LoadedRecogniser, threads: int) -> dict[str, Any]:
    """All that the figures depend on."""
    return {
        "task": work.task,
        "data": work.annotations,
        "data_sha256": sha256(Path(work.annotations).read_bytes()).hexdigest(),
        "videos_expected": len(work.videos),
        "keyframes_per_video": work.options["count"],
        "minimum_gap_seconds": work.options["minimum_gap_seconds"],
        "shuffles": attention_figures.SHUFFLES,
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
        "device": device_kind(work.model, work.device),
        "threads": threads,
        "decoder": work.decoder,
        "versions": versions(work.decoder),
    }


def _write(results: ResultFolder, found: AttentionEvaluation) -> None:
    from vidattn.jobs.attention_page import write_attention_page

    write_attention_page(results.folder / "evaluation.html", found)
    results.finish(found.to_json(), ["evaluation.html"])


def _gathered(
    videos: Sequence[AnnotatedVideo],
    records: Mapping[int, Record],
    task: str,
    settings: Mapping[str, Any],
    taken: Mapping[str, Any],
) -> AttentionEvaluation:
    known = [number for number in range(len(videos)) if not is_failure(records[number])]
    failures = failures_of([str(video.path) for video in videos], records)
    groups = [videos[number].group for number in known]
    if len(set(groups)) < 2:
        raise ArgumentError(
            f"data: expected videos of at least 2 groups that can be read, got {len(known)} "
            f"videos of {len(set(groups))} ({in_words(failures)})"
        )
    return AttentionEvaluation(
        task,
        attention_figures.summarise_attention([records[each] for each in known], groups, [task]),
        [
            AttendedVideo.from_record(videos[each].name, videos[each].group, records[each])
            for each in known
        ],
        failures,
        settings,
        taken,
    )


@dataclass(frozen=True, eq=False)
class _AttentionWork:
    """The work of such a run; see `vidattn.runs.work.Work`."""

    model: str | LoadedRecogniser
    videos: Sequence[AnnotatedVideo]
    annotations: str
    task: str
    options: Mapping[str, Any]
    device: str
    decoder: str

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        loaded = loaded_in(shard, self.model, self.device)
        centre = None
        if self.task == "regions":
            actions = [action for video in self.videos for action in video.actions]
            centre = whereabouts.mean_box_size(actions)
        for [number] in groups:
            yield {number: self._one(loaded, self.videos[number], centre)}

    def _one(
        self, loaded: LoadedRecogniser, video: AnnotatedVideo, centre: np.ndarray | None
    ) -> Record:
        try:
            with open_video(video.path, decoder=self.decoder) as reader:
                video.check(reader, self.annotations)
                _, record = attention_figures.measure(
                    loaded,
                    reader,
                    video.actions,
                    tasks=[self.task],
                    centre_size=centre,
                    **self.options,
                )
        except VideoError as error:
            return failed(error)
        return record
