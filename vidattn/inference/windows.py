from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidattn import sampling, selection
from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError
from vidattn.inference.clip_runner import ClipRunner, WindowBatch
from vidattn.models import LoadedRecogniser
from vidattn.models.locate import Locator
from vidattn.video import Geometry, VideoReader

# A model trained on clips that span whole videos sees a longer video this much at a time.
WHOLE_VIDEO_SECONDS = 10.0


def window_spacing(
    clip: ClipSpec, reader: VideoReader, *, window_seconds: float | None = None
) -> sampling.Spacing:
    """How the frames of a video's windows lie in it: as the model's clips have it.

    Args:
        window_seconds: what a window shows of the video, for a model whose clips span whole
            videos; `WHOLE_VIDEO_SECONDS` where None. The clips of others have their own length.

    Raises:
        ArgumentError: `window_seconds` is no time, or is not for this model.
    """
    check_window(clip, window_seconds)
    times = reader.frame_times
    if clip.sampling == "dense":
        return clip.spacing(times)
    longest = WHOLE_VIDEO_SECONDS if window_seconds is None else window_seconds
    steps = max(clip.frames - 1, 1)
    if times.are_even:
        span = min(len(times), max(round(longest * times.fps), 1))
        return sampling.FrameSpacing(len(times), clip.frames, max((span - 1) / steps, 1.0))
    seconds = min(longest, float(times.seconds[-1] - times.seconds[0]))
    return sampling.TimeSpacing(times, clip.frames, max(seconds / steps, 1 / times.fps))


def check_window(clip: ClipSpec, window_seconds: float | None) -> None:
    """Raise what `window_spacing` would raise about `window_seconds`, before a video is opened."""
    if window_seconds is None:
        return
    if not 0 < window_seconds < math.inf:
        raise ArgumentError(f"window_seconds: expected more than 0, got {window_seconds:g}")
    if clip.sampling == "dense":
        raise ArgumentError(
            "window_seconds: expected None, for the clips of this model have a length of their own "
            f"({clip.frames} frames in steps of {clip.frame_stride}), got {window_seconds:g}"
        )


def frame_ends(reader: VideoReader) -> NDArray[np.float64]:
    """(T,) seconds until which each frame is shown, on the video's clock: the next one's time."""
    seconds = reader.frame_times.seconds
    return np.append(seconds[1:], max(seconds[-1], seconds[0] + reader.duration_seconds))


@dataclass(frozen=True, eq=False)
class Window:
    """What a recogniser says of one window of a video.

    Attributes:
        indices: (T,) source frames of the window; padding repeats the last.
        seconds: (T,) their times.
        probabilities: (classes,), a softmax, or sigmoids for a multi-label model.
        frame_scores: (T',), unnormalised, of the steps that are not centred on padding.
        frame_weights: (T',), of these.
        region_weights: (T', H', W'), of these.
        locator: maps steps and cells to the window's frames and pixels.
        geometry: maps the window's pixels to the video's.
    """

    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    frame_scores: NDArray[np.float32]
    frame_weights: NDArray[np.float32]
    region_weights: NDArray[np.float32]
    locator: Locator
    geometry: Geometry

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """(T',) source frame, perhaps between two, at the centre of each step."""
        return self.locator.on_clip(self.indices, len(self.frame_scores))

    def scores_by_frame(self) -> tuple[int, NDArray[np.float64]]:
        """First source frame of the window, and a score for it and each frame up to the last."""
        first, last = int(self.indices[0]), int(self.indices[-1])
        # A short video ends in repeats of its last frame: steps on them have no new centre.
        fresh = np.flatnonzero(np.diff(self.centres, prepend=-np.inf) > 0)
        scores = selection.upsample_scores(
            self.frame_scores[fresh], self.centres[fresh] - first, last - first + 1
        )
        return first, scores

    def regions_at(self, frame_index: int) -> NDArray[np.float32]:
        """(H', W') region weights of the step nearest to a source frame."""
        return self.region_weights[int(np.abs(self.centres - frame_index).argmin())]


class VideoAttention:
    """All windows of one video, seen as one.

    Args:
        windows: of the whole video, in order.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = tuple(windows)
        self.frame_scores = selection.merge_windows(window.scores_by_frame() for window in windows)
        self.probabilities = np.mean([window.probabilities for window in windows], axis=0)
        self._middles = np.array([window.centres.mean() for window in windows])

    @property
    def frame_weights(self) -> NDArray[np.float64]:
        """(T,): the softmax of the scores over the whole video."""
        powers = np.exp(self.frame_scores - self.frame_scores.max())
        return powers / powers.sum()

    def window_at(self, frame_index: int) -> Window:
        """The window whose middle is nearest to a frame."""
        return self.windows[int(np.abs(self._middles - frame_index).argmin())]


class WindowedRecogniser:
    """Runs a recogniser over one video of any length, whole frames, in bounded memory.

    Windows are sampled as the model's own clips, but frames are not cropped: networks with
    pooling attention take any size, and what happens at the edges counts.

    Args:
        loaded: from `vidattn.models.load`.
        reader: the open video.
        batch_size: windows that go through the network, and whose frames are held, at once.
        reads_ahead: see `ClipRunner`.
    """

    def __init__(
        self,
        loaded: LoadedRecogniser,
        reader: VideoReader,
        *,
        batch_size: int = 4,
        reads_ahead: bool = False,
    ) -> None:
        self.loaded = loaded
        self.reader = reader
        self.batch_size = batch_size
        self.runner = ClipRunner(
            loaded, self._recognise, batch_size=batch_size, reads_ahead=reads_ahead
        )
        self.spacing = window_spacing(loaded.clip, reader)

    def windows(self) -> Generator[Window, None, None]:
        """Half-overlapping windows that cover the video to its last frame, in order."""
        yield from self._seen(*self.spacing.windows())

    def around(self, frame_indices: NDArray[np.int64]) -> Iterator[Window]:
        """A window centred on each of the given frames, as far as the video reaches."""
        yield from self._seen(*self.spacing.around(frame_indices))

    def _recognise(self, clips: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        recogniser = self.loaded.recogniser
        found = recogniser(clips, valid)
        steps = recogniser.valid_steps(valid, found.frame_scores.shape[1])
        return (
            class_probabilities(found.logits, multi_label=recogniser.spec.multi_label),
            found.frame_scores,
            found.frame_weights,
            found.region_weights,
            steps.sum(1),
        )

    def _seen(self, indices: NDArray[np.int64], valid: NDArray[np.bool_]) -> Iterator[Window]:
        with closing(self.runner.windows(self.reader, indices, valid)) as run:
            for batch in run:
                yield from self._windows_of(batch)

    def _windows_of(self, batch: WindowBatch[tuple[Tensor, ...]]) -> Iterator[Window]:
        *outputs, counts = batch.output
        parts = [part.float().cpu().numpy() for part in outputs]
        for number, (probabilities, scores, weights, regions) in enumerate(
            zip(*parts, strict=True)
        ):
            count = int(counts[number])  # padding comes last
            yield Window(
                indices=batch.indices[number],
                seconds=batch.seconds[number],
                probabilities=probabilities,
                frame_scores=scores[:count],
                frame_weights=weights[:count],
                region_weights=regions[:count],
                locator=batch.locator,
                geometry=batch.geometry,
            )


def class_probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """(N, classes) logits -> a softmax, or sigmoids where several classes may hold at once."""
    values = logits.float()
    return values.sigmoid() if multi_label else values.softmax(1)
