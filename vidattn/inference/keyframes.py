from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidattn import __version__, selection
from vidattn.errors import DecodeError, VideoError
from vidattn.inference.keyframe_results import KeyFrame, KeyFrames
from vidattn.inference.keyframe_settings import COUNT, KeyFrameSettings, wanted_frames
from vidattn.video import VideoReader, open_video
from vidattn.video.span import ReaderSpan

if TYPE_CHECKING:
    from vidattn.inference.windows import Window
    from vidattn.models import LoadedRecogniser

# Frames at full resolution held at once.
FULL_FRAMES = 8


def extract_keyframes(
    path: str | Path,
    *,
    count: int | str | None = None,
    checkpoint: str | Path | LoadedRecogniser | None = None,
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
) -> KeyFrames:
    """Select the key frames of one video of any length, in bounded memory.

    With a checkpoint, frames are scored by the model's own temporal attention, window by window,
    unnormalised, so that windows compete; regions come from its spatial attention in a window
    centred on each selected frame. Without one, they are spread over the shots and the time of the
    video, stand best for it, and are neither blank, blurred nor between two shots as long as there
    are others (see `vidattn.selection.pick_frames`).

    Args:
        path: a video file, or a folder of frame images.
        count: key frames wanted: a number, "5%" of the frames, "3/min", or "auto", as many as the
            video needs, without near-copies. Fewer only where the video has fewer frames, or
            `per_shot` or `distinct` leave fewer, which `details["remarks"]` then says. None: what
            `per_shot` or `every_seconds` gives, else 8.
        checkpoint: a file, or what `vidattn.models.load` returned. `per_shot`, `margin_seconds`,
            `every_seconds`, `distinct`, `fast` and "auto" work without one only.
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
        device: for a checkpoint that is loaded from a file.
        batch_size: windows that are held at once.

    Raises:
        VideoError: the video cannot be used.
        CheckpointError: the checkpoint cannot.
        ArgumentError: a number is out of range, or two arguments do not go together.
    """
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
    )
    if checkpoint is not None:
        settings.check_for_model()
    with open_video(path, decoder=decoder, salvage=salvage) as film:
        reader: VideoReader = film
        if start_seconds is not None or end_seconds is not None:
            reader = ReaderSpan(film, start_seconds, end_seconds)
        if checkpoint is None:
            return _by_coverage(reader, settings)
        return _by_attention(reader, _loaded(checkpoint, device), settings)


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
    details = _details(reader, remarks) | {"shots": choice.picks.shot_count or None}
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
            )
            for pick, seconds in zip(
                part, reader.seconds_of([pick.index for pick in part]), strict=True
            )
        )
        for part in (choice.picks.kept, choice.picks.dropped)
    )
    return KeyFrames(reader.path, kept, choice.scores, choice.method, details, dropped)


def _first_frame(reader: VideoReader) -> int:
    """Number, in its film, of a reader's first frame."""
    return reader.first if isinstance(reader, ReaderSpan) else 0


def _usable(reader: VideoReader) -> NDArray[np.int64]:
    usable = np.array(reader.valid_indices(), np.int64)
    if not len(usable):
        raise DecodeError(reader.path, "no frame is left as it was encoded")
    return usable


def _by_attention(
    reader: VideoReader, loaded: LoadedRecogniser, settings: KeyFrameSettings
) -> KeyFrames:
    from vidattn.inference.windows import WindowedRecogniser

    windowed = WindowedRecogniser(loaded, reader, batch_size=settings.batch_size)
    scores = selection.merge_windows(_finite_scores(reader, windowed.windows()))
    usable = _usable(reader)
    positions, gap = reader.frame_times.apart(settings.minimum_gap_seconds)
    wanted = COUNT if settings.count is None else settings.count
    count = wanted_frames(wanted, len(usable), reader.duration_seconds) or COUNT
    first = _first_frame(reader)
    indices = usable[
        selection.select_frames(scores[usable], count, minimum_gap=gap, positions=positions[usable])
    ]
    seconds = reader.seconds_of(indices.tolist())
    frames = []
    for index, time, window in zip(indices, seconds, windowed.around(indices), strict=True):
        best = int(window.probabilities.argmax())
        cells = selection.threshold_regions(
            window.regions_at(int(index)),
            fraction=settings.region_threshold,
            count=settings.regions,
        )
        boxes = window.locator.to_source(cells, window.geometry)
        frames.append(
            KeyFrame(
                int(index) + first,
                time,
                float(scores[index]),
                tuple(tuple(box) for box in boxes.round(2).tolist()),
                loaded.classes[best],
                float(window.probabilities[best]),
            )
        )
    pooling = loaded.recogniser.spec.pooling
    method = f"attention: unnormalised frame scores of {pooling} pooling, sliding windows"
    remarks = _remarks(reader, settings, len(usable), len(frames))
    details = _details(reader, remarks) | {
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
    }
    return KeyFrames(reader.path, tuple(frames), scores, method, details)


def _finite_scores(
    reader: VideoReader, windows: Iterable[Window]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for window in windows:
        if not np.isfinite(window.frame_scores).all():
            raise VideoError(reader.path, "the network's frame scores are not finite")
        yield window.scores_by_frame()


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


def _details(reader: VideoReader, remarks: list[str]) -> dict[str, Any]:
    return {
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
    path: str | Path, indices: Sequence[int], *, decoder: str, salvage: bool = False
) -> Iterator[NDArray[np.uint8]]:
    """Selected frames at full resolution, one by one: uint8 (H, W, 3). A few are held at once."""
    with open_video(path, decoder=decoder, salvage=salvage) as reader:
        for frames in reader.chunks(indices, frames_at_once=FULL_FRAMES):
            yield from frames.array
