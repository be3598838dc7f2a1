from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidattn.errors import AnnotationError, VideoError
from vidattn.files import write_csv
from vidattn.inference.predictions import RecognitionPrediction
from vidattn.inference.predictor import PredictionRun, PredictionSettings, begin_prediction
from vidattn.inference.reading_ahead import begun_ahead, is_worth_it
from vidattn.inference.windows import check_window
from vidattn.models import LoadedRecogniser
from vidattn.runs.executors import Engine
from vidattn.runs.failures import failed, is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import RunResult, failures_of
from vidattn.runs.parts import SingleVideos
from vidattn.runs.provenance import versions
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
from vidattn.runs.video_lists import list_digest, videos_and_folders
from vidattn.runs.work import Group, Record
from vidattn.video.opening import check_decoder, check_salvageable, open_video_or_picture
from vidattn.video.sources.addresses import AllowRemote
from vidattn.video.sources.permission import NOTHING_REMOTE, RemotePermission, permission_of

RECORD, TABLE, PAGE = "predictions.json", "predictions.csv", "predictions.html"
_DEFAULTS = PredictionSettings()
COLUMNS = ("video", "start_seconds", "end_seconds", "label", "probability", "rank")


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(RunResult[RecognitionPrediction]):
    """What a model sees in a list of videos: see `RunResult`.

    Its JSON has `scores` of each of `videos`, as `evaluation.json` does: the probabilities of the
    whole video, in the order of `classes`.
    """

    def to_json(self) -> dict[str, Any]:
        """What `predictions.json` holds."""
        return super().to_json() | {"videos": [_video(each) for each in self.videos]}

    def rows(self) -> Iterator[tuple[str, float, float, str, float, int]]:
        """The rows of `predictions.csv`: of each step of each video its classes by rank, from 1."""
        for video in self.videos:
            for step in video:
                start, end = round(step.start_seconds, 6), round(step.end_seconds, 6)
                for rank, (label, probability) in enumerate(step.labels, start=1):
                    yield video.video, start, end, label, round(probability, 6), rank


def write_predictions(
    videos: Iterable[str | Path],
    output: str | Path | None = None,
    *,
    checkpoint: str | Path | LoadedRecogniser,
    every_seconds: float = _DEFAULTS.every_seconds,
    top: int = _DEFAULTS.top,
    window_seconds: float | None = None,
    batch_size: int = _DEFAULTS.batch_size,
    decoder: str = "pyav",
    salvage: bool = False,
    allow_remote: AllowRemote = (),
    device: str = "cpu",
    processes: int = 1,
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
    video_seconds: float = VIDEO_SECONDS,
    video_memory: str | int = VIDEO_MEMORY,
    maximum_failures: str | int | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> Predictions | None:
    """Predict what happens in many videos, and when, and write the results.

    In `output`: `predictions.json`, `predictions.csv` with a row for each class of each step, and
    `predictions.html`. If a video cannot be read, the failure is recorded and the others are
    processed. If none can be read, nothing is written. After an interruption, the same call resumes
    a run with an output. The processes of a launcher divide the videos.

    Args:
        videos: videos, folders of frame images, folders with videos below, single pictures, tar
            files, or lists; see `vidattn.runs.video_lists`.
        output: a folder; nothing is written if None.
        checkpoint: a file, or what `vidattn.load` returned.
        every_seconds, top, window_seconds, batch_size, salvage: see
            `RecognitionPredictor.predict`.
        allow_remote: see `vidattn.open_video`.
        processes, threads, video_seconds, video_memory, maximum_failures, retry_failed: see
            `vidattn.evaluate`.
        engine, address: see `vidattn.evaluate`.
        overwrite: replace the predictions of an earlier run; see `vidattn.runs.results`.

    Returns:
        the predictions; None in the processes of a launcher, except for the last one to finish.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: an argument cannot be used, or the run
            would overwrite a file in `output`.
    """
    check_decoder(decoder, salvage=salvage)
    own = PredictionSettings(every_seconds, top, window_seconds, batch_size)
    limits = RunLimits(video_seconds, video_memory, maximum_failures)
    processes = processes_for(checkpoint, processes)
    given, remote = list(videos), permission_of(allow_remote)
    names = list(map(str, videos_and_folders(given, remote)))
    if not names:
        raise AnnotationError(" ".join(map(str, given)), 0, "no video found")
    if salvage:
        check_salvageable(names)
    loaded = loaded_here(checkpoint, device, processes)
    model = to_share(checkpoint, loaded, processes)
    check_window(loaded.clip, window_seconds)
    settings = {
        "task": "recognition",
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
        "classes": list(loaded.classes),
        "multi_label": loaded.multi_label,
        **asdict(own),
        "decoder": decoder,
        "salvage": salvage,
        "device": device_kind(model, device),
        "threads": thread_count(threads, processes),
        "versions": versions(decoder),
    }
    results = None
    if output is not None:
        results = ResultFolder(
            output, "predict", RECORD, [TABLE, PAGE], overwrite=overwrite, retry_failed=retry_failed
        )
    records = work_through(
        _Prediction(names, model, device, decoder, salvage, own, remote),
        SingleVideos(len(names)),
        names,
        output=results,
        settings=settings | {"videos": list_digest(names)},
        processes=processes,
        engine=Engine(engine, address),
        limits=limits,
        imports=NETWORK_MODULES,
        description="predicting",
        progress=progress,
    )
    if records is None:
        return None
    found = _predictions(names, records, settings)
    if results is not None:
        _write(results, found)
    return found


def _video(found: RecognitionPrediction) -> dict[str, Any]:
    record = found.to_json()
    scores = record.pop("probabilities")
    first = {name: record.pop(name) for name in ("video", "label", "probability")}
    return first | {"scores": list(scores.values())} | record


def _predictions(
    names: Sequence[str], records: Mapping[int, Record], settings: Mapping[str, Any]
) -> Predictions:
    done = [records[number] for number in range(len(names)) if not is_failure(records[number])]
    found = tuple(RecognitionPrediction.from_json(record) for record in done)
    return Predictions(found, failures_of(names, records), settings)


def _write(results: ResultFolder, found: Predictions) -> None:
    if not len(found):
        results.abandon()
        return
    from vidattn.jobs.prediction_page import write_prediction_page

    write_csv(results.folder / TABLE, COLUMNS, found.rows())
    write_prediction_page(results.folder / PAGE, found)
    results.finish(found.to_json(), [TABLE, PAGE])


@dataclass(frozen=True, eq=False)
class _Prediction:
    """The work of such a run; see `vidattn.runs.work.Work`."""

    videos: Sequence[str]
    model: str | LoadedRecogniser
    device: str
    decoder: str
    salvage: bool
    settings: PredictionSettings
    remote: RemotePermission = NOTHING_REMOTE

    def records(
        self, groups: Iterable[Group], shard: Shard
    ) -> Iterator[Mapping[int, Record] | float]:
        loaded = loaded_in(shard, self.model, self.device)

        def begin(number: int, stack: ExitStack) -> PredictionRun:
            reader = stack.enter_context(
                open_video_or_picture(
                    self.videos[number],
                    self.decoder,
                    salvage=self.salvage,
                    allow_remote=self.remote,
                )
            )
            return stack.enter_context(closing(begin_prediction(loaded, reader, self.settings)))

        ahead = is_worth_it(next(loaded.recogniser.parameters()).device)
        for number, run in begun_ahead((each for [each] in groups), begin, ahead=ahead):
            try:
                if isinstance(run, Exception):
                    raise run
                found = yield from run.shares()
                record = found.to_json()
            except VideoError as error:
                record = failed(error)
            yield {number: record}
