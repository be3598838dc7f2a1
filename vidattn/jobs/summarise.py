from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidattn.errors import AnnotationError, ArgumentError, VideoError
from vidattn.files import write_csv, write_json, written_together
from vidattn.inference.scorers.scorer import Scorer
from vidattn.inference.summaries import Summary, budget_seconds, choose_summary
from vidattn.jobs.score_choice import ScoreChoice
from vidattn.jobs.storyboard import CUES, WIDTH, StoryboardSettings, write_storyboard
from vidattn.jobs.storyboard import FILES as STORYBOARD_FILES
from vidattn.runs.executors import Engine
from vidattn.runs.failures import failed, is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import RunResult, failures_of
from vidattn.runs.parts import SingleVideos
from vidattn.runs.provenance import versions
from vidattn.runs.result_names import result_names
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import thread_count, work_through
from vidattn.runs.run_network import NETWORK_MODULES
from vidattn.runs.shards import Shard
from vidattn.runs.video_lists import list_digest, videos_and_folders
from vidattn.runs.work import Group, Record
from vidattn.video import open_video
from vidattn.video.excerpts import frame_edges, laid_out, write_excerpts
from vidattn.video.opening import check_decoder, check_salvageable
from vidattn.video.sources.addresses import AllowRemote
from vidattn.video.sources.permission import NOTHING_REMOTE, RemotePermission, permission_of

RECORD, FILM, TABLE, FRAMES = "summaries.json", "summary.mp4", "parts.csv", "frames.json"
FILES = r"summary\.mp4|parts\.csv|frames\.json|" + STORYBOARD_FILES
COLUMNS = ("start_frame", "end_frame", "start_seconds", "end_seconds", "summary_seconds", "shot",
           "score", "reason")  # fmt: skip


@dataclass(frozen=True, eq=False)
class WrittenSummary:
    """The summary of one video, and its film.

    Attributes:
        video: as the list named it.
        film: its file, below the output folder.
        sound: "kept", "none", or why it is left out or silent.
        remarks: sentences on what is not as asked for.
        record: its entry in `summaries.json`, with the parts.
    """

    video: str
    film: str
    sound: str
    remarks: tuple[str, ...]
    record: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Its entry in `summaries.json`."""
        return dict(self.record)

    def in_words(self) -> str:
        """How much is kept."""
        kept, whole = self.record["summary_seconds"], self.record["duration_seconds"]
        return f"{len(self.record['parts'])} parts, {kept:.1f} of {whole:.1f} s"


SummaryResult = RunResult[WrittenSummary]


def write_summaries(
    videos: Iterable[str | Path],
    output: str | Path,
    *,
    budget: str | float = "15%",
    scorer: str | None = None,
    checkpoint: str | Path | None = None,
    query: str | None = None,
    query_model: str | Path | None = None,
    query_seconds: float = 0.5,
    class_name: str | None = None,
    device: str = "cpu",
    storyboard: bool = False,
    storyboard_seconds: float | None = None,
    storyboard_width: int = WIDTH,
    decoder: str = "pyav",
    salvage: bool = False,
    allow_remote: AllowRemote = (),
    processes: int = 1,
    threads: int | None = None,
    engine: str = "local",
    address: str | None = None,
    video_seconds: float = VIDEO_SECONDS,
    video_memory: str | int = VIDEO_MEMORY,
    maximum_failures: str | int | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> SummaryResult | None:
    """Write a short film of each video, with its sound.

    In `output`: `summaries.json`, and a folder for each video with `summary.mp4`, `parts.csv` and
    `frames.json`, which `vidattn score summaries` reads, and perhaps a storyboard. If a video
    cannot be read, the failure is recorded and the others are processed. After an interruption,
    the same call resumes the run.

    Args:
        videos: videos, folders of frame images, folders with videos below, tar files, or lists; see
            `vidattn.runs.video_lists`.
        budget: see `vidattn.inference.summaries.budget_seconds`.
        scorer: name of a score, whose best parts are kept; see `vidattn.inference.summarise`.
        checkpoint, query, query_model, query_seconds, class_name, device: what the score needs; see
            `vidattn.extract_keyframes`.
        storyboard: write `storyboard.vtt` and the sheets of small pictures that it names, too: of
            the whole video, for players that show them while a person scrubs.
        storyboard_seconds, storyboard_width: see `vidattn.jobs.storyboard.StoryboardSettings`.
        salvage: read damaged videos too; not with folders of images.
        allow_remote: see `vidattn.open_video`.
        processes, threads, video_seconds, video_memory, maximum_failures, retry_failed: see
            `vidattn.evaluate`.
        engine, address: see `vidattn.evaluate`.
        overwrite: replace the result of an earlier run; see `vidattn.runs.results`.

    Returns:
        the summary of each video; None in the processes of a launcher, except for the last one.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: an argument cannot be used, or the run
            would overwrite a file in `output`.
    """
    check_decoder(decoder, salvage=salvage)
    budget_seconds(budget, 1.0)
    choice = ScoreChoice(
        scorer,
        None if checkpoint is None else str(checkpoint),
        query,
        None if query_model is None else str(query_model),
        query_seconds,
        class_name,
        device,
    )
    board = StoryboardSettings(storyboard_seconds, storyboard_width)
    if not storyboard and board != StoryboardSettings():
        raise ArgumentError("storyboard: expected it with its settings (--storyboard)")
    facts = choice.facts(processes)
    given, remote = list(videos), permission_of(allow_remote)
    names = list(dict.fromkeys(map(str, videos_and_folders(given, remote))))
    if not names:
        raise AnnotationError(" ".join(map(str, given)), 0, "no video found")
    if salvage:
        check_salvageable(names)
    folders = result_names(names, given)
    results = ResultFolder(
        output,
        "summarise",
        RECORD,
        folders=folders,
        pattern=FILES,
        overwrite=overwrite,
        retry_failed=retry_failed,
    )
    own = {"budget": str(budget), "decoder": decoder, "salvage": salvage} | facts
    if storyboard:
        own["storyboard"] = asdict(board)
    settings = {
        "threads": thread_count(threads, processes),
        "versions": versions(decoder),
        "videos": list_digest(names),
    }
    records = work_through(
        _SummaryWork(
            names,
            folders,
            results,
            budget,
            choice,
            board if storyboard else None,
            decoder,
            salvage,
            remote,
        ),
        SingleVideos(len(names)),
        names,
        output=results,
        settings=own | settings,
        processes=processes,
        engine=Engine(engine, address),
        limits=RunLimits(video_seconds, video_memory, maximum_failures),
        imports=NETWORK_MODULES if choice.needs_network else (),
        description="summarising",
        progress=progress and len(names) > 1,
    )
    if records is None:
        return None
    done = [records[number] for number in range(len(names)) if not is_failure(records[number])]
    found = SummaryResult(tuple(map(_written, done)), failures_of(names, records), own)
    if done:
        sizes = {name: size for record in done for name, size in record["files"].items()}
        results.finish(found.to_json(), sizes)
    else:
        results.abandon()
    return found


def _written(record: Record) -> WrittenSummary:
    own = {key: value for key, value in record.items() if key not in ("state", "files")}
    return WrittenSummary(own["video"], own["film"], own["sound"], tuple(own["remarks"]), own)


@dataclass(frozen=True, eq=False)
class _SummaryWork:
    """The work of such a run; see `vidattn.runs.work.Work`."""

    videos: Sequence[str]
    folders: Sequence[str]
    results: ResultFolder
    budget: str | float
    score: ScoreChoice
    storyboard: StoryboardSettings | None
    decoder: str
    salvage: bool
    remote: RemotePermission = NOTHING_REMOTE

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        scorer = self.score.loaded(shard)
        for [number] in groups:
            try:
                yield {number: self._one(scorer, number)}
            except VideoError as error:
                yield {number: failed(error)}

    def _one(self, scorer: Scorer | None, number: int) -> Record:
        folder, path = self.folders[number], self.videos[number]
        target = self.results.folder / folder
        with (
            open_video(
                path, self.decoder, salvage=self.salvage, allow_remote=self.remote
            ) as reader,
            written_together(target, beside=self.results.journal_folder) as temporary,
        ):
            found = choose_summary(reader, self.budget, scorer)
            spans = [(each.start_frame, each.end_frame) for each in found.parts]
            parts = laid_out(spans, frame_edges(reader.frame_times))
            sound = write_excerpts(temporary / FILM, reader, parts)
            _write_lists(temporary, found)
            if self.storyboard is not None:
                write_storyboard(temporary, reader, self.storyboard)
            files = {f"{folder}/{each.name}": each.stat().st_size for each in temporary.iterdir()}
            self.results.remove_replaced(folder)
        about: Record = {"film": f"{folder}/{FILM}", "sound": sound, "files": files}
        if self.storyboard is not None:
            about["storyboard"] = f"{folder}/{CUES}"
        return found.to_json() | about


def _write_lists(folder: Path, found: Summary) -> None:
    rows = [[getattr(each, column) for column in COLUMNS] for each in found.parts]
    write_csv(folder / TABLE, COLUMNS, rows)
    kept = found.frames_kept.astype(int).tolist()
    write_json(folder / FRAMES, {Path(found.video).stem: {"summary": kept}})
