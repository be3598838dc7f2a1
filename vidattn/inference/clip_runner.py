"""The one loop from frames to a network's outputs: whoever runs a network runs it here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidattn.arrays import at_least
from vidattn.data import EvaluationTransform
from vidattn.data.framing import fit, square_crop
from vidattn.inference.overlap import OverlappingFrames
from vidattn.inference.reading_ahead import ReadingAhead, is_worth_it
from vidattn.models import LoadedRecogniser
from vidattn.models.locate import Locator
from vidattn.sampling import crop_positions
from vidattn.video import Frames, Geometry, VideoReader

Output = TypeVar("Output")
# Normalised clips (N, 3, T, H, W) and which of their frames are real (N, T) -> what is wanted.
Compute = Callable[[Tensor, Tensor], Output]


@dataclass(frozen=True, eq=False)
class WindowBatch(Generic[Output]):
    """Windows of one video that went through the network together.

    Attributes:
        indices: int64 (N, T), their frames in the video; padding repeats the last.
        seconds: float64 (N, T), the times of these.
        output: what was computed of them.
        locator: maps steps and cells to the windows' frames and pixels.
        geometry: maps the windows' pixels to the video's.
    """

    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    output: Output
    locator: Locator
    geometry: Geometry

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, eq=False)
class _ReadWindows:
    """Windows that are decoded: pixels uint8 (N, 3, T, H, W), valid (N, T); see `WindowBatch`."""

    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    pixels: Tensor
    valid: Tensor
    geometry: Geometry


class WindowRun(Generic[Output]):
    """The batches of one video's windows, in order; its `close` comes before the video's.

    Args:
        compute: what is made of windows that are decoded.
        read: these, in batches.
    """

    def __init__(
        self,
        compute: Callable[[_ReadWindows], WindowBatch[Output]],
        read: Iterator[_ReadWindows],
    ) -> None:
        self._compute = compute
        self._read = read

    def __iter__(self) -> Iterator[WindowBatch[Output]]:
        return map(self._compute, self._read)

    def close(self) -> None:
        """Wait until nothing of the video is being read."""
        if isinstance(self._read, ReadingAhead):
            self._read.close()


class ClipRunner(Generic[Output]):
    """Runs a network over clips, a few at a time, on the network's own device, without gradients.

    Args:
        loaded: the network, and how its clips are made.
        compute: what is computed of each batch of clips.
        batch_size: clips that go through the network, and whose frames are held, at once.
        whole_frames: windows show whole frames; else each frame's centre square, as test clips do.
        reads_ahead: a thread decodes the next windows while the network works on the last, where
            more than one thread may be used. Nobody else may read the video meanwhile.
    """

    def __init__(
        self,
        loaded: LoadedRecogniser,
        compute: Compute[Output],
        *,
        batch_size: int,
        whole_frames: bool = True,
        reads_ahead: bool = False,
    ) -> None:
        at_least("batch_size", batch_size, 1)
        self.loaded = loaded
        self.compute = compute
        self.batch_size = batch_size
        self.whole_frames = whole_frames
        self.device = next(loaded.recogniser.parameters()).device
        self.reads_ahead = reads_ahead and is_worth_it(self.device)
        self.transform = EvaluationTransform(loaded.clip).to(self.device)

    def windows(
        self, reader: VideoReader, indices: NDArray[np.int64], valid: NDArray[np.bool_]
    ) -> WindowRun[Output]:
        """Windows of an open video, in batches, in order.

        Args:
            indices: (windows, T), their frames.
            valid: (windows, T), False where a frame is padding.

        Raises:
            VideoError: a frame cannot be decoded. It is raised when its batch is asked for.
        """
        read = self._read(reader, indices, valid)
        return WindowRun(self._window_batch, ReadingAhead(read) if self.reads_ahead else read)

    def clips(self, pixels: Tensor, valid: Tensor) -> Iterator[Output]:
        """Clips that are ready, in batches, in order.

        Args:
            pixels: uint8 (N, 3, T, H, W).
            valid: bool (N, T), False where a frame is padding.
        """
        for part, kept in zip(
            pixels.split(self.batch_size), valid.split(self.batch_size), strict=True
        ):
            yield self._computed(part, kept)

    def _read(
        self, reader: VideoReader, indices: NDArray[np.int64], valid: NDArray[np.bool_]
    ) -> Iterator[_ReadWindows]:
        source = OverlappingFrames(reader, self.loaded.clip.short_side)
        for start in range(0, len(indices), self.batch_size):
            end = start + self.batch_size
            own, following = indices[start:end], indices[end : end + self.batch_size]
            # Windows overlap: a frame that several of them show is decoded once.
            unique, places = np.unique(own, return_inverse=True)
            frames = source.take(unique, following)
            yield self._windows_of(
                frames, own, places.reshape(own.shape), valid[start:end], reader.path
            )

    def _windows_of(
        self,
        frames: Frames,
        indices: NDArray[np.int64],
        places: NDArray[np.int64],
        valid: NDArray[np.bool_],
        path: str,
    ) -> _ReadWindows:
        clip = self.loaded.clip
        frames = fit(frames, clip.short_side, clip.aspect, path)
        shown, geometry = self._shown(frames)
        # (N, T, H, W, 3) storage seen as (N, 3, T, H, W): channels_last_3d.
        rows = shown.permute(0, 2, 3, 1)[torch.from_numpy(places)]
        pixels = rows.permute(0, 4, 1, 2, 3)
        seconds = frames.seconds.numpy()[places]
        return _ReadWindows(indices, seconds, pixels, torch.from_numpy(valid), geometry)

    def _window_batch(self, read: _ReadWindows) -> WindowBatch[Output]:
        output = self._computed(read.pixels, read.valid)
        locator = self.loaded.recogniser.locator(read.pixels)
        return WindowBatch(read.indices, read.seconds, output, locator, read.geometry)

    def _shown(self, frames: Frames) -> tuple[Tensor, Geometry]:
        """What the network sees of each frame, and where that lies in the video."""
        if self.whole_frames:
            return frames.pixels, Geometry.whole(frames.source_size, frames.size)
        side = self.loaded.clip.crop_size
        [[top, left]] = crop_positions(frames.size, (side, side)).tolist()
        return square_crop(frames, top, left, side)

    def _computed(self, pixels: Tensor, valid: Tensor) -> Output:
        with torch.inference_mode():
            return self.compute(self.transform(pixels.to(self.device)), valid.to(self.device))
