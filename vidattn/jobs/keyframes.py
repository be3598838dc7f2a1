from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from vidattn.errors import AnnotationError, ArgumentError, VideoError
from vidattn.files import write_csv, written_together
from vidattn.inference.keyframe_options import KeyFrameOptions
from vidattn.inference.keyframe_results import KeyFrame
from vidattn.inference.keyframe_settings import KeyFrameSettings
from vidattn.inference.keyframes import extract_keyframes
from vidattn.inference.scorers.named import named_scorer
from vidattn.inference.scorers.scorer import Scorer
from vidattn.jobs.keyframe_page import DRAWN, drawn, write_keyframe_page
from vidattn.jobs.keyframe_pictures import (
    COLUMNS,
    PICTURES,
    SCORE_FILE,
    PictureSettings,
    poster_place,
    table_rows,
    write_images,
)
from vidattn.jobs.player_page import FILMS_SHOWN
from vidattn.naming import choose
from vidattn.runs.executors import Engine
from vidattn.runs.failures import failed, failure, is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import RunResult, failures_of
from vidattn.runs.parquet_results import PackedNames, ParquetFolder
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
from vidattn.runs.stored import StoredResult, finish_stored
from vidattn.runs.video_lists import list_digest, videos_and_folders
from vidattn.runs.work import Group, Record
from vidattn.video.opening import check_decoder, check_salvageable
from vidattn.video.sources.addresses import AllowRemote, as_source
from vidattn.video.sources.permission import NOTHING_REMOTE, RemotePermission, permission_of

if TYPE_CHECKING:
    from vidattn.models import LoadedRecogniser

WISHES = fields(KeyFrameSettings)
RECORD, TABLE, PAGE = "keyframes.json", "keyframes.csv", "keyframes.html"
RESULTS = ("json", "parquet")


@dataclass(frozen=True, eq=False)
class WrittenKeyFrames:
    """The key frames of one video, and their pictures.

    Attributes:
        video: as the list named it.
        frames: what was selected, in the order of time.
        images: the picture of each, below the output folder.
        remarks: sentences on what is not as asked for.
        record: its entry in `keyframes.json`, with method, decoder and versions.
    """

    video: str
    frames: tuple[KeyFrame, ...]
    images: tuple[str, ...]
    remarks: tuple[str, ...]
    record: Mapping[str, Any]

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """From what a run notes of a video."""
        own = {key: value for key, value in record.items() if key not in ("state", "files", DRAWN)}
        names = [each.name for each in fields(KeyFrame)]
        frames = tuple(
            KeyFrame(**{name: frame[name] for name in names} | {"regions": _boxes(frame)})
            for frame in own["frames"]
        )
        images = tuple(frame["image"] for frame in own["frames"])
        return cls(own["video"], frames, images, tuple(own["remarks"]), own)

    def to_json(self) -> dict[str, Any]:
        """Its entry in `keyframes.json`."""
        return dict(self.record)

    def in_words(self) -> str:
        """How many, and when."""
        times = ", ".join(f"{frame.seconds:.2f}" for frame in self.frames)
        return f"{len(self.frames)} key frames, at {times} s"


KeyFrameResult = RunResult[WrittenKeyFrames]


def _boxes(frame: Mapping[str, Any]) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in frame["regions"])


def write_keyframes(
    videos: Iterable[str | Path],
    output: str | Path,
    *,
    checkpoint: str | Path | LoadedRecogniser | None = None,
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
    picture_format: str = "jpeg",
    quality: int = 90,
    width: int | None = None,
    poster: bool = False,
    explain: bool = False,
    results: str = "json",
    pictures: str = "tar",
    score_table: bool = False,
    **settings: Unpack[KeyFrameOptions],
) -> KeyFrameResult | StoredResult | None:
    """Extract the key frames of videos and write them to files.

    In `output`: a folder for each video with its frames and `contact_sheet.jpg`
    (`vidattn.runs.result_names`), `keyframes.json` and `keyframes.csv` over all, and
    `keyframes.html`, which plays the first 100 videos above their key frames. Videos that cannot be
    read are recorded there, and the others go on; if none can be read, nothing is written. The same
    call resumes a run that was interrupted, and several processes share it.

    Args:
        videos: videos, folders of frame images, folders with videos below, tar files, or lists; see
            `vidattn.runs.video_lists`.
        checkpoint: a file, or what `vidattn.models.load` returned.
        salvage: read damaged videos too; not with folders of images.
        allow_remote: see `vidattn.open_video`.
        processes, threads, video_seconds, video_memory, maximum_failures, retry_failed: see
            `vidattn.evaluate`.
        engine, address: see `vidattn.evaluate`.
        overwrite: replace the pictures of an earlier run; see `vidattn.runs.results`.
        picture_format, quality, width, poster, explain, score_table: see
            `vidattn.jobs.keyframe_pictures.PictureSettings`.
        results: "json", or "parquet" for long lists: a row a video in `videos/part-*.parquet`,
            which `vidattn.read_results` reads, and neither table nor page. It needs pyarrow.
        pictures: of Parquet results: "tar" for all pictures in `pictures/part-*.tar`, or "rows"
            for the key frames in the column `pictures`.
        settings: of `extract_keyframes`.

    Returns:
        the key frames of each video; their `to_json` is what `keyframes.json` holds. None in the
        processes of a launcher, except for the last one to finish.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: an argument cannot be used, or the run
            would overwrite a file in `output`.
    """
    check_decoder(decoder, salvage=salvage)
    wishes = _checked(settings)
    looks = PictureSettings(picture_format, quality, width, poster, explain, score_table)
    score = wishes.score_of(with_model=checkpoint is not None)
    limits = RunLimits(video_seconds, video_memory, maximum_failures)
    processes = processes_for(checkpoint, processes)
    given, remote = list(videos), permission_of(allow_remote)
    names = list(map(str, videos_and_folders(given, remote)))
    if not names:
        raise AnnotationError(" ".join(map(str, given)), 0, "no video found")
    if salvage:
        check_salvageable(names)
    loaded = model = None
    if checkpoint is not None:
        loaded = loaded_here(checkpoint, device, processes)
        model = to_share(checkpoint, loaded, processes)
    scorer = None
    if score in ("class", "query"):  # so that wrong names are refused before anything is begun
        scorer = named_scorer(wishes, loaded, device if processes == 0 else "cpu")
    own = asdict(wishes) | {"decoder": decoder, "salvage": salvage}
    choose("results", results, RESULTS)
    place: ResultFolder
    folders: Sequence[str]
    if results == "parquet":
        folders = PackedNames(names)
        place = ParquetFolder(
            output,
            "keyframes",
            RECORD,
            videos=len(names),
            pictures=pictures,
            overwrite=overwrite,
            retry_failed=retry_failed,
        )
    else:
        folders = result_names(names, given)
        place = ResultFolder(
            output,
            "keyframes",
            RECORD,
            [TABLE, PAGE],
            folders=folders,
            pattern=PICTURES,
            overwrite=overwrite,
            retry_failed=retry_failed,
        )
    scorer_here = scorer if processes == 0 else None
    shown = 0 if results == "parquet" else FILMS_SHOWN
    work = _KeyFrameWork(
        names, folders, place, model, device, own, looks, scorer_here, shown, remote
    )
    software = versions(decoder)
    records = work_through(
        work,
        SingleVideos(len(names)),
        names,
        output=place,
        settings=_given(wishes)
        | _given(looks)
        | ({} if results == "json" else {"results": results, "pictures": pictures})
        | {
            "decoder": decoder,
            "salvage": salvage,
            "checkpoint_sha256": loaded and loaded.digest,
            "query_model_sha256": getattr(scorer, "weights_sha256", None),
            "device": device_kind(model, device),
            "threads": thread_count(threads, processes),
            "versions": software,
            "videos": list_digest(names),
        },
        processes=processes,
        engine=Engine(engine, address),
        limits=limits,
        imports=NETWORK_MODULES if checkpoint is not None or scorer is not None else (),
        description="extracting",
        progress=len(names) > 1,
    )
    if records is None:
        return None
    if isinstance(place, ParquetFolder):
        return finish_stored(place, records, {})
    done = [records[number] for number in range(len(names)) if not is_failure(records[number])]
    failures = failures_of(names, records)
    found = KeyFrameResult(tuple(map(WrittenKeyFrames.from_record, done)), failures, {})
    if not done:
        place.abandon()
        return found
    write_csv(place.folder / TABLE, COLUMNS, table_rows([each.record for each in found]))
    write_keyframe_page(place.folder / PAGE, RECORD, found, done, software)
    sizes = {name: size for record in done for name, size in record["files"].items()}
    sizes |= {name: (place.folder / name).stat().st_size for name in (TABLE, PAGE)}
    place.finish(found.to_json(), sizes)
    return found


def _checked(settings: Mapping[str, Any]) -> KeyFrameSettings:
    scorer = settings.get("scorer")
    if scorer is not None and not isinstance(scorer, str):
        raise ArgumentError(
            "scorer: expected the name of a score; call extract_keyframes with a scorer of your own"
        )
    model = settings.get("query_model")
    return KeyFrameSettings(**{**settings, "query_model": None if model is None else str(model)})


def _given(settings: KeyFrameSettings | PictureSettings) -> dict[str, Any]:
    """What is not as it is by default: a run is the same whether defaults were given or not."""
    return {
        each.name: getattr(settings, each.name)
        for each in fields(settings)
        if getattr(settings, each.name) != each.default
    }


@dataclass(frozen=True, eq=False)
class _KeyFrameWork:
    """The work of such a run; see `vidattn.runs.work.Work`."""

    videos: Sequence[str]
    folders: Sequence[str]
    results: ResultFolder
    model: str | LoadedRecogniser | None
    device: str
    settings: Mapping[str, Any]
    pictures: PictureSettings
    scorer: Scorer | None
    shown: int  # so many videos are on the page
    remote: RemotePermission = NOTHING_REMOTE

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        loaded = None if self.model is None else loaded_in(shard, self.model, self.device)
        settings = dict(self.settings)
        if settings["query"] is not None:
            wishes = KeyFrameSettings(**{each.name: settings[each.name] for each in WISHES})
            scorer = self.scorer or named_scorer(wishes, loaded, shard.device(self.device))
            # It is made of these once, and not for each video.
            settings |= dict.fromkeys(("query", "query_model")) | {"fast": False, "scorer": scorer}
        for [number] in groups:
            yield {number: self._one(loaded, settings, number)}

    def _one(
        self, loaded: LoadedRecogniser | None, settings: Mapping[str, Any], number: int
    ) -> Record:
        folder = self.folders[number]
        target = self.results.pictures_folder / folder
        try:
            source = as_source(self.videos[number], self.remote)
            found = extract_keyframes(source, checkpoint=loaded, **settings)
            with written_together(target, beside=self.results.journal_folder) as temporary:
                images = write_images(
                    found,
                    temporary,
                    video=source,
                    settings=self.pictures,
                    decoder=self.settings["decoder"],
                    salvage=self.settings["salvage"],
                )
                files = {
                    f"{folder}/{file.name}": file.stat().st_size
                    for file in sorted(temporary.iterdir())
                }
                self.results.remove_replaced(folder)
        except VideoError as error:
            return failed(error)
        except ArgumentError as error:  # nothing of this video lies between --from and --to
            reason = str(error).removeprefix(f"{self.videos[number]}: ")
            return failure(type(error).__name__, reason)
        record = found.to_json(explain=self.pictures.explain)
        for frame, image in zip(record["frames"], images, strict=True):
            frame["image"] = f"{folder}/{image.name}"
        if self.pictures.poster:
            record["poster"] = {
                "frame_index": found.frames[poster_place(found)].frame_index,
                "image": f"{folder}/poster{self.pictures.ending}",
            }
        if self.pictures.score_table:
            record["scores"] = f"{folder}/{SCORE_FILE}"
        if number < self.shown:
            record[DRAWN] = drawn(found)
        return record | {"files": files}
