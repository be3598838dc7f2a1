from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from vidattn.arrays import at_least
from vidattn.data import Sample, read_annotations
from vidattn.data.evaluation_clips import EvaluationClips
from vidattn.errors import ArgumentError
from vidattn.jobs.clip_score_files import (
    CLIP_SCORE_FILE,
    place_of_clip_scores,
    write_clip_scores,
)
from vidattn.jobs.clip_scores import EvaluationWork
from vidattn.jobs.evaluation_folder import evaluation_folder, refuse_folder_among_classes
from vidattn.jobs.evaluation_record import Evaluation, gather_evaluation
from vidattn.models import LoadedRecogniser
from vidattn.runs.executors import Engine
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.provenance import times, versions
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import thread_count, work_through
from vidattn.runs.run_network import (
    NETWORK_MODULES,
    device_kind,
    loaded_here,
    processes_for,
    to_share,
)
from vidattn.runs.shards import shard_from_environment
from vidattn.sampling import suitability
from vidattn.sampling.protocols import Protocol
from vidattn.sampling.protocols import protocol as named
from vidattn.video.sources.addresses import AllowRemote
from vidattn.video.sources.permission import RemotePermission, permission_of

logger = logging.getLogger(__name__)


def evaluate(
    checkpoint: str | Path | LoadedRecogniser,
    data: str | Path | Sequence[Sample],
    *,
    root: str | Path | None = None,
    allow_remote: AllowRemote = (),
    folds: Sequence[int] | None = None,
    protocol: str | Protocol | None = None,
    views: int = 1,
    crops: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    processes: int = 1,
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
    device: str = "cpu",
    decoder: str = "pyav",
    video_seconds: float = VIDEO_SECONDS,
    video_memory: str | int = VIDEO_MEMORY,
    maximum_failures: str | int | None = None,
    clip_scores: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> Evaluation | None:
    """Evaluate a checkpoint clip by clip and video by video.

    With `output`, the same call resumes an interrupted run. The processes of a launcher (torchrun,
    Slurm, Lightning's) divide the videos.

    Args:
        checkpoint: a file, or what `vidattn.models.load` returned.
        data: class folders, a tar file or a folder of some, a list, a CSV, or what
            `read_annotations` returned.
        root: folder that the paths are relative to.
        allow_remote: see `vidattn.open_video`.
        folds: use only these values of the CSV's fold column.
        protocol: name of a published protocol (`vidattn.sampling.protocols`); without one, a
            video's score is the mean of the probabilities of its views × crops clips.
        views, crops: clips a video over time, and over the longer side (1 or 3), without one.
        batch_size: clips that go through the network at once.
        workers: processes that decode, for each process that runs the network; 0 decodes there.
        processes: child processes that divide the videos. If a video crashes its process, only its
            own result is lost. With 0, and with 1 if `checkpoint` is not a file, everything runs in
            this process, and a video that crashes ends it.
        engine: "local", or "ray" for child processes on a Ray cluster (`docs/runs.md`).
        address: of the cluster; None starts Ray on this machine.
        threads: PyTorch threads in each process; by default the cores of the machine, divided by
            the processes. With the same number of threads, figures are bit-identical for any number
            of processes.
        decoder: see `vidattn.open_video`.
        video_seconds: stop a video after this many seconds without progress; 0 for no limit.
        video_memory: stop a video if its process uses more memory than this, such as "500MB" or
            "4GB"; 0 for no limit.
        maximum_failures: stop the run if more videos fail: a number, or a part such as "5%".
        clip_scores: where the scores of every clip are kept: "json" (in `evaluation.json`), "npz"
            (in `clip_scores.npz` beside it, see `clip_score_files.write_clip_scores`) or "none";
            by default in the JSON file where they are at most a million numbers, else nowhere.
        output: folder for `evaluation.json` and `evaluation.html`; nothing is written if None.
        overwrite: replace the result of an earlier run there; see `vidattn.runs.results`.
        retry_failed: try the videos again that failed in an earlier run of the same command.

    Returns:
        the figures; None in the processes of a launcher, except for the last one to finish.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: what was given cannot be used, or the
            folder holds an unfinished run with other settings, or lies among the class folders.
    """
    started = time.perf_counter()
    at_least("workers", workers, 0)
    limits = RunLimits(video_seconds, video_memory, maximum_failures)
    processes = processes_for(checkpoint, processes)
    loaded = loaded_here(checkpoint, device, processes)
    multi_label = loaded.recogniser.spec.multi_label
    samples = _samples(data, root, folds, permission_of(allow_remote), multi_label=multi_label)
    refuse_folder_among_classes(output, data)
    chosen = named(protocol) if isinstance(protocol, str) else protocol
    clips = EvaluationClips(loaded.clip, views, crops, chosen)
    numbers = len(samples) * clips.count * len(loaded.classes)
    place = place_of_clip_scores(clip_scores, numbers)
    work = EvaluationWork(
        to_share(checkpoint, loaded, processes),
        samples,
        loaded.classes,
        loaded.recogniser.spec.multi_label,
        clips,
        batch_size=batch_size,
        workers=workers,
        device=device,
        decoder=decoder,
        keep_clips=place != "none",
    )
    warnings = _warnings(work, loaded)
    settings = _settings(work, loaded, data, folds, thread_count(threads, processes))
    settings["clip_scores"] = place
    archive = [CLIP_SCORE_FILE] if place == "npz" else []
    results = evaluation_folder(
        output, overwrite=overwrite, retry_failed=retry_failed, files=archive
    )
    records = work_through(
        work,
        work.groups(),
        [str(sample.path) for sample in samples],
        output=results,
        settings=settings | {"videos": _digest(samples)},
        processes=processes,
        engine=Engine(engine, address),
        limits=limits,
        imports=NETWORK_MODULES,
        description="evaluating",
        progress=progress,
    )
    if records is None:
        return None
    labels = work.dataset().labels.numpy()
    found = gather_evaluation(
        records, samples, labels, loaded.classes, settings | {"warnings": warnings}
    )
    found.times.update(times(started))
    if results is not None:
        _write(results, found)
    return found


def _warnings(work: EvaluationWork, loaded: LoadedRecogniser) -> list[str]:
    """What is doubtful about this evaluation; said once, however many processes share it."""
    protocol = work.clips.protocol
    line = protocol and suitability.warning(
        protocol, loaded.clip, per_frame=loaded.recogniser.per_frame
    )
    if not line:
        return []
    if shard_from_environment().rank == 0:
        logger.warning("vidattn: warning: %s", line)
    return [line]


def _settings(
    work: EvaluationWork,
    loaded: LoadedRecogniser,
    data: str | Path | Sequence[Sample],
    folds: Sequence[int] | None,
    threads: int,
) -> dict[str, Any]:
    """All that the figures depend on besides the videos."""
    clips = work.clips
    averaged = "logits" if work.aggregation == "logits" else "probabilities"
    return {
        "task": "recognition",
        "data": str(data) if isinstance(data, str | Path) else None,
        "folds": None if folds is None else list(folds),
        "videos_expected": len(work.samples),
        **clips.to_json(),
        "aggregation": f"mean of {averaged} over the clips of a video",
        "clip": loaded.clip.to_json(),
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
        "device": device_kind(work.model, work.device),
        "batch_size": work.batch_size,
        "threads": threads,
        "decoder": work.decoder,
        "versions": versions(work.decoder),
    }


def _write(results: ResultFolder, found: Evaluation) -> None:
    from vidattn.jobs.evaluation_page import write_evaluation_page

    write_evaluation_page(results.folder / "evaluation.html", found)
    files = ["evaluation.html"]
    if found.settings["clip_scores"] == "npz":
        write_clip_scores(results.folder / CLIP_SCORE_FILE, found)
        files.append(CLIP_SCORE_FILE)
    results.finish(found.to_json(), files)


def _samples(
    data: str | Path | Sequence[Sample],
    root: str | Path | None,
    folds: Sequence[int] | None,
    remote: RemotePermission,
    *,
    multi_label: bool,
) -> list[Sample]:
    if isinstance(data, str | Path):
        separator = "," if multi_label else None
        samples = read_annotations(data, root=root, label_separator=separator, allow_remote=remote)
    else:
        samples = list(data)
    if folds is None:
        return samples
    known = {sample.fold for sample in samples}
    if unknown := set(folds) - known:
        there = sorted(fold for fold in known if fold is not None)
        raise ArgumentError(f"folds: expected some of {there}, got {sorted(unknown)}")
    return [sample for sample in samples if sample.fold in folds]


def _digest(samples: Sequence[Sample]) -> str:
    """What tells one list of videos and labels from another."""
    rows = [[str(each.path), each.video_id, each.labels, each.group] for each in samples]
    return sha256(json.dumps(rows).encode()).hexdigest()
