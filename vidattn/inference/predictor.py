"""A recogniser and a video of any length -> what is in it, and when."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidattn import models
from vidattn.arrays import FloatArray, at_least
from vidattn.errors import VideoError
from vidattn.inference.clip_runner import ClipRunner, WindowRun
from vidattn.inference.predictions import PredictedStep, RecognitionPrediction, ranked
from vidattn.inference.timeline import Timeline, check_step
from vidattn.inference.windows import (
    check_window,
    class_probabilities,
    frame_ends,
    window_spacing,
)
from vidattn.models import LoadedRecogniser
from vidattn.video import VideoReader
from vidattn.video.opening import open_video_or_picture
from vidattn.video.sources.addresses import AllowRemote, VideoLike


@dataclass(frozen=True)
class PredictionSettings:
    """How a video is looked at, and what is kept of it.

    Attributes:
        every_seconds: length of the steps that get labels, at least 0.01.
        top: how many classes are kept of each step; fewer where the model has fewer.
        window_seconds: see `window_spacing`.
        batch_size: windows that go through the network, and whose frames are held, at once.

    Raises:
        ArgumentError: a number is out of range.
    """

    every_seconds: float = 1.0
    top: int = 5
    window_seconds: float | None = None
    batch_size: int = 4

    def __post_init__(self) -> None:
        check_step(self.every_seconds)
        at_least("top", self.top, 1)
        at_least("batch_size", self.batch_size, 1)


_DEFAULTS = PredictionSettings()


class RecognitionPredictor(LoadedRecogniser):
    """A recogniser that says what is in a video, and when; from `vidattn.load`."""

    def predict(
        self,
        video: VideoLike | VideoReader,
        *,
        every_seconds: float = _DEFAULTS.every_seconds,
        top: int = _DEFAULTS.top,
        window_seconds: float | None = None,
        decoder: str = "pyav",
        salvage: bool = False,
        batch_size: int = _DEFAULTS.batch_size,
        allow_remote: AllowRemote = (),
    ) -> RecognitionPrediction:
        """Predict what happens in a video, and when, in bounded memory.

        The windows cover the whole video, and each overlaps the next by half. They show whole
        frames, as for key frames.

        Args:
            video: see `vidattn.open_video`; also a picture (one frame, shown for a second), or an
                open reader.
            every_seconds, top, batch_size: see `PredictionSettings`.
            window_seconds: length of a window, for models whose clips span whole videos (10 seconds
                if None). Use the length of the training videos. For other models it must be None,
                because their clips have a fixed length.
            decoder, allow_remote: see `vidattn.open_video`.
            salvage: read damaged videos too.

        Raises:
            VideoError: the video cannot be used.
            ArgumentError: a number is out of range.
        """
        settings = PredictionSettings(every_seconds, top, window_seconds, batch_size)
        check_window(self.clip, window_seconds)
        opened = (
            nullcontext(video)
            if isinstance(video, VideoReader)
            else open_video_or_picture(video, decoder, salvage=salvage, allow_remote=allow_remote)
        )
        with opened as reader, closing(begin_prediction(self, reader, settings)) as run:
            shares = run.shares()
            while True:
                try:
                    next(shares)
                except StopIteration as finished:
                    found: RecognitionPrediction = finished.value
                    return found


def load(
    path: str | Path, *, device: str | torch.device = "cpu", allow: Collection[str] = ()
) -> RecognitionPredictor:
    """Read a checkpoint as a model that predicts: `vidattn.load("m.ckpt").predict("a.mp4")`.

    Args:
        path: a file that training, `vidattn.convert` or `vidattn.models.save` wrote.
        device: where the network is put.
        allow: dotted paths of classes outside vidattn that the file may name.

    Raises:
        CheckpointError: no such file, no checkpoint of ours, or a kind of model that is not known.
        ArgumentError: the file names a class that is not allowed, or there is no such device.
    """
    loaded = models.load(path, device=device, allow=allow)
    return RecognitionPredictor(loaded.recogniser, loaded.clip, loaded.path, loaded.digest)


@dataclass(frozen=True, eq=False)
class PredictionRun:
    """What is in one video, and when, to be computed; from `begin_prediction`."""

    loaded: LoadedRecogniser
    reader: VideoReader
    settings: PredictionSettings
    run: WindowRun[FloatArray]
    window_count: int

    def shares(self) -> Generator[float, None, RecognitionPrediction]:
        """Compute it.

        Yields:
            the share of the video that was looked at since, in (0, 1]; in all they sum to 1.

        Returns:
            the prediction.
        """
        ends = frame_ends(self.reader)
        start = float(self.reader.frame_times.seconds[0])
        every = self.settings.every_seconds
        timeline = Timeline(start, float(ends[-1]), every, len(self.loaded))
        for batch in self.run:
            if not np.isfinite(batch.output).all():
                reason = "the network's class probabilities are not finite"
                raise VideoError(self.reader.path, reason)
            for own, seconds, values in zip(
                batch.indices, batch.seconds, batch.output, strict=True
            ):
                timeline.add(float(seconds[0]), float(ends[own[-1]]), values)
            yield len(batch) / self.window_count
        return _prediction(self.loaded, self.reader, timeline, self.settings)

    def close(self) -> None:
        """Wait until nothing of the video is being read."""
        self.run.close()


def begin_prediction(
    loaded: LoadedRecogniser, reader: VideoReader, settings: PredictionSettings
) -> PredictionRun:
    """Begin to decode an open video; see `RecognitionPredictor.predict`.

    What is returned is closed before the video.
    """

    def probabilities(clips: Tensor, valid: Tensor) -> FloatArray:
        logits = loaded.recogniser(clips, valid).logits
        found = class_probabilities(logits, multi_label=loaded.multi_label)
        own: FloatArray = found.double().cpu().numpy()
        return own

    runner = ClipRunner(loaded, probabilities, batch_size=settings.batch_size, reads_ahead=True)
    spacing = window_spacing(loaded.clip, reader, window_seconds=settings.window_seconds)
    indices, valid = spacing.windows()
    run = runner.windows(reader, indices, valid)
    return PredictionRun(loaded, reader, settings, run, len(indices))


def _prediction(
    loaded: LoadedRecogniser,
    reader: VideoReader,
    timeline: Timeline,
    settings: PredictionSettings,
) -> RecognitionPrediction:
    def named(values: FloatArray) -> dict[str, float]:
        return dict(zip(loaded.classes, values.tolist(), strict=True))

    averages = timeline.averages().clip(0, 1)  # a mean of ones may come out a little above
    rows = zip(timeline.starts.tolist(), timeline.ends.tolist(), averages, strict=True)
    return RecognitionPrediction(
        video=reader.path,
        probabilities=named(timeline.mean().clip(0, 1)),
        steps=tuple(
            PredictedStep(start, end, ranked(named(values), settings.top))
            for start, end, values in rows
        ),
        multi_label=loaded.multi_label,
        every_seconds=float(settings.every_seconds),
        windows=timeline.windows,
        frame_count=len(reader),
        fps=reader.fps,
        duration_seconds=reader.duration_seconds,
        decoder=reader.decoder,
        timestamps_made_up=reader.timestamps_made_up,
        damaged_spans=tuple(reader.damaged_spans),
        remarks=tuple(_remarks(loaded, reader)),
        checkpoint=loaded.path,
        checkpoint_sha256=loaded.digest,
    )


def _remarks(loaded: LoadedRecogniser, reader: VideoReader) -> Iterator[str]:
    if len(reader) == 1 and not loaded.recogniser.per_frame:
        yield (
            f"one frame shows no motion: this model looks at {loaded.clip.frames} frames together "
            "and sees the same one again and again, so trust its answer less"
        )
    if reader.missing_end is not None:
        yield f"only its first {len(reader)} frames can be decoded: {reader.missing_end}"
