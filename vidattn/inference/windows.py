from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidattn import sampling, selection
from vidattn.data import ClipSpec, EvaluationTransform
from vidattn.data.framing import fit
from vidattn.errors import ArgumentError
from vidattn.models.checkpoint import LoadedRecogniser
from vidattn.models.locate import Locator
from vidattn.video import Frames, Geometry, VideoReader

# A model trained on clips that span whole videos sees a longer video this much at a time.
WHOLE_VIDEO_SECONDS = 10.0


def window_spacing(clip: ClipSpec, reader: VideoReader) -> sampling.Spacing:
    """How the frames of a video's windows lie in it: as the model's clips have it."""
    times = reader.frame_times
    if clip.sampling == "dense":
        return clip.spacing(times)
    steps = max(clip.frames - 1, 1)
    if times.are_even:
        span = min(len(times), max(round(WHOLE_VIDEO_SECONDS * times.fps), 1))
        return sampling.FrameSpacing(len(times), clip.frames, max((span - 1) / steps, 1.0))
    seconds = min(WHOLE_VIDEO_SECONDS, float(times.seconds[-1] - times.seconds[0]))
    return sampling.TimeSpacing(times, clip.frames, max(seconds / steps, 1 / times.fps))


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
    """

    def __init__(
        self, loaded: LoadedRecogniser, reader: VideoReader, *, batch_size: int = 4
    ) -> None:
        if batch_size < 1:
            raise ArgumentError(f"batch_size: expected at least 1, got {batch_size}")
        self.loaded = loaded
        self.reader = reader
        self.batch_size = batch_size
        self._device = next(loaded.recogniser.parameters()).device
        self._transform = EvaluationTransform(loaded.clip).to(self._device)
        self.spacing = window_spacing(loaded.clip, reader)

    def windows(self) -> Iterator[Window]:
        """Half-overlapping windows that cover the video to its last frame, in order."""
        yield from self._in_batches(*self.spacing.windows())

    def around(self, frame_indices: NDArray[np.int64]) -> Iterator[Window]:
        """A window centred on each of the given frames, as far as the video reaches."""
        yield from self._in_batches(*self.spacing.around(frame_indices))

    def _in_batches(self, indices: NDArray[np.int64], valid: NDArray[np.bool_]) -> Iterator[Window]:
        for start in range(0, len(indices), self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield from self._recognise(indices[batch], valid[batch])

    def _recognise(self, indices: NDArray[np.int64], valid: NDArray[np.bool_]) -> Iterator[Window]:
        unique, places = np.unique(indices, return_inverse=True)
        places = places.reshape(indices.shape)
        clip = self.loaded.clip
        frames = fit(
            self.reader.frames_at(unique.tolist(), short_side=clip.short_side),
            clip.short_side,
            clip.aspect,
            self.reader.path,
        )
        # (B, T, H, W, 3) storage seen as (B, 3, T, H, W): channels_last_3d.
        rows = frames.pixels.permute(0, 2, 3, 1)[torch.from_numpy(places)]
        pixels = rows.permute(0, 4, 1, 2, 3)
        kept = torch.from_numpy(valid).to(self._device)
        with torch.inference_mode():
            recognition = self.loaded.recogniser(self._transform(pixels.to(self._device)), kept)
            steps = self.loaded.recogniser.valid_steps(kept, recognition.frame_scores.shape[1])
            multi_label = self.loaded.recogniser.spec.multi_label
            logits = recognition.logits.float()
            probabilities = logits.sigmoid() if multi_label else logits.softmax(1)
        outputs = (
            probabilities,
            recognition.frame_scores,
            recognition.frame_weights,
            recognition.region_weights,
        )
        counts = steps.sum(1).tolist()
        yield from self._split(indices, places, frames, pixels, outputs, counts)

    def _split(
        self,
        indices: NDArray[np.int64],
        places: NDArray[np.int64],
        frames: Frames,
        pixels: Tensor,
        outputs: tuple[Tensor, ...],
        counts: Sequence[int],
    ) -> Iterator[Window]:
        locator = self.loaded.recogniser.locator(pixels)
        geometry = Geometry.whole(frames.source_size, frames.size)
        parts = [part.float().cpu().numpy() for part in outputs]
        seconds = frames.seconds.numpy()
        for number, (probabilities, scores, weights, regions) in enumerate(
            zip(*parts, strict=True)
        ):
            count = counts[number]  # padding comes last
            yield Window(
                indices=indices[number],
                seconds=seconds[places[number]],
                probabilities=probabilities,
                frame_scores=scores[:count],
                frame_weights=weights[:count],
                region_weights=regions[:count],
                locator=locator,
                geometry=geometry,
            )
