from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidattn import __version__
from vidattn.errors import DecodeError
from vidattn.inference.keyframe_results import KeyFrame, KeyFrames, ScoreCurve
from vidattn.inference.keyframe_scores import choose_by_scores
from vidattn.inference.keyframe_settings import COUNT, KeyFrameSettings, wanted_frames
from vidattn.inference.scorers.named import named_scorer
from vidattn.inference.scorers.scorer import Scorer, score_name
from vidattn.threads import one_thread_for_numpy
from vidattn.video import VideoReader, open_video
from vidattn.video.sources.addresses import AllowRemote, VideoLike
from vidattn.video.span import ReaderSpan

if TYPE_CHECKING:
    from vidattn.models import LoadedRecogniser

# Frames at full resolution held at once.
FULL_FRAMES = 8


def extract_keyframes(
    video: VideoLike,
    *,
    count: int | str | None = None,
    checkpoint: str | Path | LoadedRecogniser | None = None,
    scorer: str | Scorer | None = None,
    uniformity: float | None = None,
    query: str | None = None,
    query_model: str | Path | None = None,
    query_seconds: float = 0.5,
    class_name: str | None = None,
    minimum_gap_seconds: float = 0.5,
    per_shot: int | None = None,
    margin_seconds: float = 0.0,
    every_seconds: float | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    distinct: bool = False,
    fast: bool = False,
    regions: int = 1,
    region_threshold: float = 0.5,
    decoder: str = "pyav",
    salvage: bool = False,
    device: str = "cpu",
    batch_size: int = 4,
    allow_remote: AllowRemote = (),
) -> KeyFrames:
    """Select the key frames of one video of any length, in bounded memory.

    A score says how much each frame is worth, and all scores are used in the same way: the frames
    with the highest ones are taken, kept apart in time, or frames spread by them (`uniformity`).
    Without a checkpoint, the score is "coverage", and the choice does more: frames are spread over
    the shots and the time of the video, stand best for it, and are neither blank, blurred nor
    between two shots as long as there are others (see `vidattn.selection.pick_frames`). With a
    checkpoint, the score is the model's own temporal attention, window by window, unnormalised, so
    that windows compete; regions come from its spatial attention in a window centred on each
    selected frame, whatever the score.

    Args:
        video: see `vidattn.open_video`.
        count: key frames wanted: a number, "5%" of the frames, "3/min", or "auto", as many as the
            video needs, without near-copies. Fewer only where the video has fewer frames, or
            `per_shot` or `distinct` leave fewer, which `details["remarks"]` then says. None: what
            `per_shot` or `every_seconds` gives, else 8.
        checkpoint: a file, or what `vidattn.models.load` returned.
        scorer: "attention", "class", "coverage", "difference", "packets", "query", "random",
            "uniform", or any function from an open video to scores (see `Scorer`). None: "query" or
            "class" if one is given, else "attention" with a checkpoint, else "coverage".
            `per_shot`, `margin_seconds`, `every_seconds`, `distinct`, `fast` and "auto" work with
            "coverage" only; `fast` also with "query".
        uniformity: spread the frames, the more densely the higher the scores are; 0 follows the
            scores, 1 is evenly spread (see `vidattn.selection.spread`). None: take the highest.
        query: a sentence such as "a person falls": the score says how well a frame goes with it.
        query_model: for a query: the folder of a CLIP or SigLIP model, or its name on the Hugging
            Face hub.
        query_seconds: for a query: one frame of each so many seconds is looked at.
        class_name: a class of the checkpoint: the score says how sure the model is of it.
        minimum_gap_seconds: frames closer than this suppress each other, if enough are left; by
            the frames' own times, to half a frame where these are evenly apart. Without a
            checkpoint, a shot that has no key frame yet may have one all the same.
        per_shot: most frames of one shot.
        margin_seconds: frames so close to a cut come last; each shot keeps its middle at least.
        every_seconds: one frame, the best, of each so many seconds.
        start_seconds, end_seconds: only frames whose time lies between, the end not included.
        distinct: leave out frames that look like one that is kept.
        fast: look at intra frames only, then at the frames behind each that is picked.
        regions: most boxes a frame.
        region_threshold: share of the map's peak that a region's cells must reach.
        decoder: see `vidattn.open_video`.
        salvage: read damaged videos too; only frames that are as they were encoded are selected.
        device: for a checkpoint that is loaded from a file, and for the model of a query.
        batch_size: windows that are held at once.
        allow_remote: see `vidattn.open_video`.

    Raises:
        VideoError: the video cannot be used.
        CheckpointError: the checkpoint cannot, or the model of the query.
        MissingLibraryError: a library that the score needs is not installed.
        ArgumentError: a number is out of range, or two arguments do not go together.
    """
    name = scorer if scorer is None or isinstance(scorer, str) else None
    settings = KeyFrameSettings(
        count,
        minimum_gap_seconds,
        per_shot,
        margin_seconds,
        every_seconds,
        start_seconds,
        end_seconds,
        distinct,
        fast,
        regions,
        region_threshold,
        batch_size,
        name,
        uniformity,
        query,
        None if query_model is None else str(query_model),
        query_seconds,
        class_name,
    )
    own = None if scorer is None or isinstance(scorer, str) else scorer
    if own is not None:
        settings.check_for_scorer(score_name(own))
    by_coverage = own is None and settings.chooses_by_coverage(with_model=checkpoint is not None)
    opened = open_video(video, decoder, salvage=salvage, allow_remote=allow_remote)
    with opened as film, one_thread_for_numpy():
        reader: VideoReader = film
        if start_seconds is not None or end_seconds is not None:
            reader = ReaderSpan(film, start_seconds, end_seconds)
        loaded = None if checkpoint is None else _loaded(checkpoint, device)
        if by_coverage:
            found = _by_coverage(reader, settings)
        else:
            found = _by_scores(reader, own or named_scorer(settings, loaded, device), settings)
        if loaded is None:
            return found
        return _with_model(found, reader, loaded, settings)


def _loaded(checkpoint: str | Path | LoadedRecogniser, device: str) -> LoadedRecogniser:
    if isinstance(checkpoint, str | Path):
        from vidattn import models

        return models.load(checkpoint, device=device)
    return checkpoint


def _by_coverage(reader: VideoReader, settings: KeyFrameSettings) -> KeyFrames:
    from vidattn.inference.keyframe_coverage import choose_by_coverage

    usable = _usable(reader)
    choice = choose_by_coverage(reader, usable, settings)
    remarks = [*_remarks(reader, settings, len(usable), len(choice.picks.kept)), *choice.remarks]
    details = _details(reader, remarks, "coverage") | {"shots": choice.picks.shot_count or None}
    first = _first_frame(reader)
    kept, dropped = (
        tuple(
            KeyFrame(
                pick.index + first,
                seconds,
                pick.score,
                shot=pick.shot + 1 if pick.shot >= 0 else None,
                reason=pick.reason,
                flaw=pick.flaw,
                scored_by="coverage",
            )
            for pick, seconds in zip(
                part, reader.seconds_of([pick.index for pick in part]), strict=True
            )
        )
        for part in (choice.picks.kept, choice.picks.dropped)
    )
    known = sorted(pick.index for pick in (*choice.picks.kept, *choice.picks.dropped))
    curve = _curve(reader, choice.scores, np.array(known, np.int64))
    return KeyFrames(
        reader.path,
        kept,
        choice.scores,
        choice.method,
        details,
        dropped,
        curve,
        reader.seconds_of([0])[0],
        choice.shots,
    )


def _by_scores(reader: VideoReader, scorer: Scorer, settings: KeyFrameSettings) -> KeyFrames:
    usable = _usable(reader)
    choice = choose_by_scores(reader, usable, scorer, settings)
    name, first = score_name(scorer), _first_frame(reader)
    frames = tuple(
        KeyFrame(
            int(index) + first,
            seconds,
            float(choice.scores[index]),
            reason=choice.reason,
            scored_by=name,
        )
        for index, seconds in zip(
            choice.indices, reader.seconds_of(choice.indices.tolist()), strict=True
        )
    )
    remarks = _remarks(reader, settings, len(usable), len(frames))
    details = _details(reader, remarks, name)
    if isinstance(digest := getattr(scorer, "weights_sha256", None), str):
        details["query_model_sha256"] = digest
    method = str(getattr(scorer, "method", f"{name}: a scorer of the caller"))
    curve = _curve(reader, choice.scores, choice.looked_at)
    [start] = reader.seconds_of([0])
    return KeyFrames(reader.path, frames, choice.scores, method, details, (), curve, start)


def _with_model(
    found: KeyFrames, reader: VideoReader, loaded: LoadedRecogniser, settings: KeyFrameSettings
) -> KeyFrames:
    from vidattn.inference.keyframe_regions import with_regions

    frames = with_regions(found.frames, reader, loaded, settings, _first_frame(reader))
    details = found.details | {
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
    }
    return replace(found, frames=frames, details=details)


def _curve(
    reader: VideoReader, scores: NDArray[np.float64], places: NDArray[np.int64]
) -> ScoreCurve:
    seconds = np.array(reader.seconds_of(places.tolist()))
    return ScoreCurve(places + _first_frame(reader), seconds, scores[places])


def _first_frame(reader: VideoReader) -> int:
    """Number, in its film, of a reader's first frame."""
    return reader.first if isinstance(reader, ReaderSpan) else 0


def _usable(reader: VideoReader) -> NDArray[np.int64]:
    usable = np.array(reader.valid_indices(), np.int64)
    if not len(usable):
        raise DecodeError(reader.path, "no frame is left as it was encoded")
    return usable


def _remarks(
    reader: VideoReader, settings: KeyFrameSettings, usable_count: int, found_count: int
) -> list[str]:
    remarks = []
    by_settings = settings.per_shot is not None or settings.every_seconds is not None
    wanted = COUNT if settings.count is None and not by_settings else settings.count
    count = wanted and wanted_frames(wanted, usable_count, reader.duration_seconds)
    if count and usable_count < count:
        what = "valid frames" if usable_count < len(reader) else "frames"
        remarks.append(f"expected {count} key frames, the video has {usable_count} {what}")
    elif count and found_count < count:
        why = "look different" if settings.distinct else "the limit per shot allows"
        remarks.append(f"expected {count} key frames, {found_count} {why}")
    if reader.missing_end is not None:
        remarks.append(f"only its first {len(reader)} frames can be decoded: {reader.missing_end}")
    return remarks


def _details(reader: VideoReader, remarks: list[str], score: str) -> dict[str, Any]:
    return {
        "score": score,
        "decoder": reader.decoder,
        "vidattn": __version__,
        "size": list(reader.size),
        "fps": reader.fps,
        "duration_seconds": reader.duration_seconds,
        "timestamps_made_up": reader.timestamps_made_up,
        "damaged_spans": [list(span) for span in reader.damaged_spans],
        "remarks": remarks,
    }


def full_frames(
    video: VideoLike, indices: Sequence[int], *, decoder: str, salvage: bool = False
) -> Iterator[NDArray[np.uint8]]:
    """Selected frames at full resolution, one by one: uint8 (H, W, 3). A few are held at once."""
    with open_video(video, decoder, salvage=salvage) as reader:
        for frames in reader.chunks(indices, frames_at_once=FULL_FRAMES):
            yield from frames.array
