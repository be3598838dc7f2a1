from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidattn import __version__, selection
from vidattn.arrays import at_least
from vidattn.errors import ArgumentError, DecodeError, VideoError
from vidattn.video import VideoReader, open_video

if TYPE_CHECKING:
    from vidattn.inference.windows import Window
    from vidattn.models import LoadedRecogniser

# Frames held at once while a video without a checkpoint is looked through.
SKETCHED_FRAMES = 64
# Frames at full resolution held at once.
FULL_FRAMES = 8
# Sides that the training-free score looks at: its description uses no more.
SKETCH_SHORT_SIDE = 96


@dataclass(frozen=True)
class KeyFrame:
    """One selected frame.

    Attributes:
        frame_index: 0-based, in presentation order.
        seconds: on the video's own clock.
        score: unnormalised; comparable within the video and, for one model, between videos.
        regions: boxes [x1, y1, x2, y2] in pixels of the video as shown; empty without a model.
        label: the class the model sees in the window around the frame; None without a model.
        probability: of that class.
    """

    frame_index: int
    seconds: float
    score: float
    regions: tuple[tuple[float, float, float, float], ...] = ()
    label: str | None = None
    probability: float | None = None


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """The key frames of one video, in the order of time.

    Attributes:
        path: the video.
        frames: what was selected.
        scores: (T,) the score of every frame.
        method: how they were scored, in words.
        details: decoder, versions, checkpoint; "remarks", sentences on what is not as asked for.
    """

    path: str
    frames: tuple[KeyFrame, ...]
    scores: NDArray[np.float64]
    method: str
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What `keyframes.json` holds for one video."""
        return {
            "video": self.path,
            "method": self.method,
            **self.details,
            "frame_count": len(self.scores),
            "frames": [asdict(frame) for frame in self.frames],
        }


def extract_keyframes(
    path: str | Path,
    *,
    count: int = 8,
    checkpoint: str | Path | LoadedRecogniser | None = None,
    minimum_gap_seconds: float = 0.5,
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
    centred on each selected frame. Without one, it selects the frames that together represent the
    video best (see `vidattn.selection.cover_frames`).

    Args:
        path: a video file, or a folder of frame images.
        count: number of key frames; fewer only if the video has fewer frames. `details["remarks"]`
            then says so.
        checkpoint: a file, or what `vidattn.models.load` returned.
        minimum_gap_seconds: select frames at least this far apart, if there are enough. Distances
            are those of the frames' timestamps, with a tolerance of half a frame if these are
            evenly spaced.
        regions: most boxes a frame.
        region_threshold: share of the map's peak that a region's cells must reach.
        decoder: see `vidattn.open_video`.
        salvage: read damaged videos too; only frames that are as they were encoded are selected.
        device: for a checkpoint that is loaded from a file.
        batch_size: windows that are held at once.

    Raises:
        VideoError: the video cannot be used.
        CheckpointError: the checkpoint cannot.
        ArgumentError: a number is out of range.
    """
    check_selection(
        count=count,
        minimum_gap_seconds=minimum_gap_seconds,
        regions=regions,
        region_threshold=region_threshold,
        batch_size=batch_size,
    )
    with open_video(path, decoder=decoder, salvage=salvage) as reader:
        if checkpoint is None:
            return _by_coverage(reader, count, minimum_gap_seconds)
        loaded = _loaded(checkpoint, device)
        return _by_attention(
            reader, loaded, count, minimum_gap_seconds, regions, region_threshold, batch_size
        )


def check_selection(
    *,
    count: int = 1,
    minimum_gap_seconds: float = 0.0,
    regions: int = 1,
    region_threshold: float = 1.0,
    batch_size: int = 1,
) -> None:
    """Raise what `extract_keyframes` would raise about these, before any video is opened."""
    for name, value in (("count", count), ("regions", regions), ("batch_size", batch_size)):
        at_least(name, value, 1)
    if not 0 <= minimum_gap_seconds < float("inf"):
        raise ArgumentError(f"minimum_gap_seconds: expected 0 or more, got {minimum_gap_seconds}")
    if not 0 < region_threshold <= 1:
        raise ArgumentError(
            f"region_threshold: expected a number in (0, 1], got {region_threshold}"
        )


def _loaded(checkpoint: str | Path | LoadedRecogniser, device: str) -> LoadedRecogniser:
    if isinstance(checkpoint, str | Path):
        from vidattn import models

        return models.load(checkpoint, device=device)
    return checkpoint


def _by_coverage(reader: VideoReader, count: int, gap_seconds: float) -> KeyFrames:
    usable = _usable(reader)
    chunks = reader.chunks(
        usable.tolist(), frames_at_once=SKETCHED_FRAMES, short_side=SKETCH_SHORT_SIDE
    )
    sketch = selection.sketch_frames(frames.array for frames in chunks)
    positions, gap = reader.frame_times.apart(gap_seconds)
    places = positions[usable]
    chosen = selection.cover_frames(sketch, count, minimum_gap=gap, positions=places)
    indices = usable[chosen]
    found = selection.coverage_scores(sketch, positions=places)
    scores = np.full(len(reader), found.min())
    scores[usable] = found
    frames = tuple(
        KeyFrame(int(index), seconds, float(scores[index]))
        for index, seconds in zip(indices, reader.seconds_of(indices.tolist()), strict=True)
    )
    method = "coverage: sharp frames that together stand best for the video, without a network"
    return KeyFrames(reader.path, frames, scores, method, _details(reader, count, len(usable)))


def _usable(reader: VideoReader) -> NDArray[np.int64]:
    usable = np.array(reader.valid_indices(), np.int64)
    if not len(usable):
        raise DecodeError(reader.path, "no frame is left as it was encoded")
    return usable


def _by_attention(
    reader: VideoReader,
    loaded: LoadedRecogniser,
    count: int,
    gap_seconds: float,
    regions: int,
    region_threshold: float,
    batch_size: int,
) -> KeyFrames:
    from vidattn.inference.windows import WindowedRecogniser

    windowed = WindowedRecogniser(loaded, reader, batch_size=batch_size)
    scores = selection.merge_windows(_finite_scores(reader, windowed.windows()))
    usable = _usable(reader)
    positions, gap = reader.frame_times.apart(gap_seconds)
    indices = usable[
        selection.select_frames(scores[usable], count, minimum_gap=gap, positions=positions[usable])
    ]
    seconds = reader.seconds_of(indices.tolist())
    frames = []
    for index, time, window in zip(indices, seconds, windowed.around(indices), strict=True):
        best = int(window.probabilities.argmax())
        cells = selection.threshold_regions(
            window.regions_at(int(index)), fraction=region_threshold, count=regions
        )
        boxes = window.locator.to_source(cells, window.geometry)
        frames.append(
            KeyFrame(
                int(index),
                time,
                float(scores[index]),
                tuple(tuple(box) for box in boxes.round(2).tolist()),
                loaded.classes[best],
                float(window.probabilities[best]),
            )
        )
    pooling = loaded.recogniser.spec.pooling
    method = f"attention: unnormalised frame scores of {pooling} pooling, sliding windows"
    details = _details(reader, count, len(usable)) | {
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


def _details(reader: VideoReader, count: int, usable_count: int) -> dict[str, Any]:
    remarks = []
    if usable_count < count:
        what = "valid frames" if usable_count < len(reader) else "frames"
        remarks.append(f"expected {count} key frames, the video has {usable_count} {what}")
    if reader.missing_end is not None:
        remarks.append(f"only its first {len(reader)} frames can be decoded: {reader.missing_end}")
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
