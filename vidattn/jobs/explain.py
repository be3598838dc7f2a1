from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn import models, report, selection
from vidattn.errors import ArgumentError
from vidattn.files import write_bytes, write_json, written_together
from vidattn.inference.windows import VideoAttention, WindowedRecogniser
from vidattn.models import LoadedRecogniser
from vidattn.runs.results import ResultFolder
from vidattn.runs.waiting import waiting
from vidattn.video import VideoReader, VideoWriter, open_video
from vidattn.video.sound import kept_sound
from vidattn.video.sources.addresses import AllowRemote, VideoLike, as_source
from vidattn.video.sources.local import LocalFile
from vidattn.video.span import ReaderSpan

# Full-resolution frames held at once.
FULL_FRAMES = 32
SHEET_PANEL_WIDTH = 240
RECORD, FILES = "explanation.json", ("overlay.mp4", "overlay.png")
# Of x264: a third of the default's time for files of the same size, 0.4 dB further from the frames.
PRESET = "veryfast"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model looked at in one video.

    Attributes:
        label: the class of highest mean probability over the windows.
        probability: of that class.
        frame_scores: (T,), unnormalised, from `details["first_frame"]` on.
        frame_weights: (T,), the softmax of the scores over the whole video.
        details: video, checkpoint, decoder, all class probabilities; with an output, what
            became of the sound.
    """

    label: str
    probability: float
    frame_scores: NDArray[np.float64]
    frame_weights: NDArray[np.float64]
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What `explanation.json` holds."""
        return {
            **self.details,
            "label": self.label,
            "probability": self.probability,
            "frame_scores": self.frame_scores.round(6),
            "frame_weights": self.frame_weights.round(9),
        }


def explain(
    video: VideoLike,
    *,
    checkpoint: str | Path | LoadedRecogniser,
    output: str | Path | None = None,
    frames: int = 6,
    decoder: str = "pyav",
    salvage: bool = False,
    device: str = "cpu",
    overwrite: bool = False,
    progress: bool = True,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    allow_remote: AllowRemote = (),
) -> Explanation:
    """Say what a model sees in a video and, with `output`, paint where and when it looks.

    Heat is the weight of a region in its frame times the weight of the frame, relative to the
    hottest place of the video, so that frames that do not count stay clear; the strip below
    shows the frame weights.

    Args:
        video, allow_remote: see `vidattn.open_video`.
        checkpoint: a file, or what `vidattn.models.load` returned.
        output: folder for `overlay.mp4`, `overlay.png` and `explanation.json`.
        frames: frames in the PNG: those of the highest scores, kept apart.
        salvage: read a damaged video too; the model then sees what the decoder makes of the
            damaged frames, `damaged_spans` names them, and none of them is in the PNG.
        device: for a checkpoint that is loaded from a file.
        overwrite: replace the explanation of an earlier run; see `vidattn.runs.results`.
        progress: print the progress to standard error.
        start_seconds, end_seconds: of the part that is looked at, on the film's own clock; the
            film's start and end where None. Times and frame numbers stay the film's.

    The sound goes into the overlay as it is stored, where an MP4 can hold it.

    Raises:
        VideoError, CheckpointError: an argument cannot be used.
        ArgumentError: no frame lies between these times.
    """
    if frames < 1:
        raise ArgumentError(f"frames: expected at least 1, got {frames}")
    source = as_source(video, allow_remote)
    results = None
    if output is not None:
        if (
            isinstance(source, LocalFile)
            and source.is_folder
            and Path(output).exists()
            and Path(output).samefile(source.path)
        ):
            raise ArgumentError(
                f"{output}: the folder of images that is explained; overlay.png would be taken for "
                "one of them. Give another --output"
            )
        results = ResultFolder(output, "explain", RECORD, FILES, overwrite=overwrite)
        results.check()
    loaded = (
        models.load(checkpoint, device=device) if isinstance(checkpoint, str | Path) else checkpoint
    )
    with open_video(source, decoder, salvage=salvage) as film:
        reader = ReaderSpan(film, start_seconds, end_seconds)
        attention = _look(loaded, reader, progress)
        found = _explanation(attention, loaded, reader)
        if results is not None:
            _write(results, found, Painter(attention, _label(found)), reader, frames, progress)
    return found


def _write(
    results: ResultFolder,
    found: Explanation,
    painter: Painter,
    reader: ReaderSpan,
    frames: int,
    progress: bool,
) -> None:
    with written_together(results.folder, beside=results.folder) as folder:
        found.details["sound"] = _write_video(folder / "overlay.mp4", reader, painter, progress)
        write_bytes(folder / "overlay.png", overlay_sheet(reader, painter, frames))
        write_json(folder / RECORD, results.recorded(found.to_json(), FILES, folder=folder))


def _label(found: Explanation) -> str:
    return f"{found.label} {found.probability:.0%}"


def _look(loaded: LoadedRecogniser, reader: VideoReader, progress: bool) -> VideoAttention:
    windowed = WindowedRecogniser(loaded, reader)
    count = len(windowed.spacing.windows()[0])
    found = []
    with waiting("looking", count, "windows", progress=progress) as tick:
        tick(0)
        for window in windowed.windows():
            found.append(window)
            if len(found) % windowed.batch_size == 0:  # what goes through the network at once
                tick(windowed.batch_size)
    return VideoAttention(found)


def _explanation(
    attention: VideoAttention, loaded: LoadedRecogniser, reader: ReaderSpan
) -> Explanation:
    best = int(attention.probabilities.argmax())
    shift, seconds = reader.first, reader.seconds_of([0, len(reader) - 1])
    details = {
        "video": reader.path,
        "decoder": reader.decoder,
        "first_frame": shift,
        "first_seconds": seconds[0],
        "last_seconds": seconds[1],
        "damaged_spans": [[a + shift, b + shift, why] for a, b, why in reader.damaged_spans],
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
        "probabilities": dict(
            zip(loaded.classes, attention.probabilities.astype(float), strict=True)
        ),
    }
    return Explanation(
        loaded.classes[best],
        float(attention.probabilities[best]),
        attention.frame_scores,
        attention.frame_weights,
        details,
    )


class Painter:
    """Paints any frame of a video under its heat, the weights of all frames in a strip below.

    Args:
        attention: of the whole video.
        label: written on every frame.
        boxes: frame index -> boxes (K, 4) to outline there, such as those known to be true.
    """

    def __init__(
        self,
        attention: VideoAttention,
        label: str,
        *,
        boxes: Mapping[int, ArrayLike] | None = None,
    ) -> None:
        self.attention = attention
        self.label = label
        self.boxes = boxes or {}
        self.frame_weights = attention.frame_weights
        self.maximum = float(max(self._joint(i).max() for i in range(len(self.frame_weights))))

    def paint(self, index: int, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One frame, uint8 (H, W, 3) -> (H + strip, W, 3)."""
        window = self.attention.window_at(index)
        joint = self._joint(index)
        rows, columns = window.locator.cell_centres(*joint.shape)
        # Cell centres, through the clip, to the source; pixel centres there are at j + 1/2.
        across = np.stack([columns, np.zeros_like(columns)], 1)
        down = np.stack([np.zeros_like(rows), rows], 1)
        centres_x = window.geometry.to_source(np.tile(across, 2))[:, 0] - 0.5
        centres_y = window.geometry.to_source(np.tile(down, 2))[:, 1] - 0.5
        heat = report.paint_map(joint, centres_y, centres_x, frame.shape[:2])
        return report.draw_overlay(
            frame,
            heat,
            maximum=self.maximum,
            boxes=self.boxes.get(index),
            frame_weights=self.frame_weights,
            position=index,
            label=self.label,
        )

    def _joint(self, index: int) -> NDArray[np.float64]:
        regions = self.attention.window_at(index).regions_at(index)
        return regions * self.frame_weights[index]


def _pictures(reader: VideoReader) -> Iterator[NDArray[np.uint8]]:
    for frames in reader.chunks(frames_at_once=FULL_FRAMES):
        yield from frames.array


def _write_video(path: Path, reader: ReaderSpan, painter: Painter, progress: bool) -> str:
    """Paint all frames; a word on what became of the sound."""
    seconds = np.array(reader.seconds_of(range(len(reader))))
    # Shown at the video's own times, where it has such as can be shown.
    timed = bool((np.diff(seconds) > 1e-3).all())
    end = math.inf if reader.reaches_the_end else seconds[0] + reader.duration_seconds
    sound, word = kept_sound(reader.source, path.suffix, start_seconds=seconds[0], end_seconds=end)
    with ExitStack() as stack:
        if sound is not None:
            stack.enter_context(sound)
        tick = stack.enter_context(waiting("painting", len(reader), "frames", progress=progress))
        tick(0)
        writer: VideoWriter | None = None
        for index, frame in enumerate(_pictures(reader)):
            picture = painter.paint(index, frame)
            if writer is None:
                writer = stack.enter_context(
                    VideoWriter(
                        path,
                        fps=reader.fps,
                        size=picture.shape[:2],
                        timed=timed,
                        preset=PRESET,
                        sound=sound,
                    )
                )
            writer.write(picture, seconds=seconds[index] - seconds[0] if timed else None)
            tick(1)
    return f"left out from where it is damaged: {sound.damage}" if sound and sound.damage else word


def overlay_sheet(reader: VideoReader, painter: Painter, frames: int) -> bytes:
    """PNG of the frames with the highest scores, kept apart, painted."""
    shift = reader.first if isinstance(reader, ReaderSpan) else 0
    gap = max(len(reader) // (2 * frames), 1)
    usable = np.array(reader.valid_indices() or range(len(reader)))
    scores = painter.attention.frame_scores[usable]
    indices = usable[selection.select_frames(scores, frames, minimum_gap=gap)]
    shown = reader.frames_at(indices.tolist())
    pixels = shown.array
    # Captions need room: tiny videos are shown several times as large.
    times = max(round(SHEET_PANEL_WIDTH / pixels.shape[2]), 1)
    panels = [
        painter.paint(int(i), frame).repeat(times, axis=0).repeat(times, axis=1)
        for i, frame in zip(indices, pixels, strict=True)
    ]
    captions = [
        f"{seconds:.2f} s · frame {index + shift}"
        for index, seconds in zip(indices, shown.seconds.tolist(), strict=True)
    ]
    return report.encode_image(report.draw_overlay_sheet(panels, captions))
