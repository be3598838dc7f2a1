from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from vidattn.errors import AnnotationError, ArgumentError
from vidattn.files import write_csv
from vidattn.inference.keyframe_options import KeyFrameOptions
from vidattn.inference.keyframe_settings import KeyFrameSettings
from vidattn.inference.scorers.named import named_scorer
from vidattn.jobs.keyframe_page import write_keyframe_page
from vidattn.jobs.keyframe_pictures import (
    COLUMNS,
    PICTURES,
    PictureSettings,
    table_rows,
)
from vidattn.jobs.keyframe_result import KeyFrameResult, WrittenKeyFrames
from vidattn.jobs.keyframe_work import KeyFrameWork
from vidattn.jobs.player_page import FILMS_SHOWN
from vidattn.naming import choose
from vidattn.runs.executors import Engine
from vidattn.runs.failures import is_failure
from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS, RunLimits
from vidattn.runs.outcome import failures_of
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
    processes_for,
    to_share,
)
from vidattn.runs.stored import StoredResult, finish_stored
from vidattn.runs.video_lists import list_digest, videos_and_folders
from vidattn.video.opening import check_decoder, check_salvageable
from vidattn.video.sources.addresses import AllowRemote
from vidattn.video.sources.permission import permission_of

if TYPE_CHECKING:
    from vidattn.models import LoadedRecogniser

RECORD, TABLE, PAGE = "keyframes.json", "keyframes.csv", "keyframes.html"
RESULTS = ("json", "parquet")


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
    work = KeyFrameWork(
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
