from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from types import TracebackType
from typing import Self

import numpy as np

from vidattn.errors import ArgumentError, DecodeError
from vidattn.sampling.times import FrameTimes
from vidattn.video.frames import Frames


class VideoReader(ABC):
    """Random access to the frames of one video, by position in presentation order.

    A reader belongs to the process and thread that opened it: open it inside the worker.

    Attributes:
        path: as the caller gave it.
        decoder: name and version of what decodes, such as "pyav 18.1.0".
        size: (height, width) as shown, after rotation, in pixels.
        fps: average frames per second; never 0.
        duration_seconds: from the first frame's start to the last one's end.
        timestamps_made_up: True where the file has none and `index / fps` stands in.
    """

    path: str
    decoder: str
    size: tuple[int, int]
    fps: float
    duration_seconds: float
    timestamps_made_up: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames that can really be decoded."""

    @abstractmethod
    def frames_at(self, indices: Sequence[int], *, short_side: int | None = None) -> Frames:
        """Frames by 0-based index, in the order asked for; repeats are allowed.

        No index gives no frame: T = 0, with the size that frames would have.

        With `short_side`, frames are resized (area averaging) so that the shorter side has
        that many pixels, the aspect ratio kept, both sides at least 1; never enlarged.

        Raises:
            IndexError: an index is negative or not below `len(self)`.
            DecodeError: a frame cannot be decoded.
        """

    @abstractmethod
    def frames_between(
        self, start_seconds: float, end_seconds: float, *, short_side: int | None = None
    ) -> Frames:
        """Frames whose presentation time lies in [start_seconds, end_seconds).

        Where none does, T = 0.
        """

    @abstractmethod
    def seconds_of(self, indices: Sequence[int]) -> list[float]:
        """Presentation time of frames by index, without decoding them."""

    @property
    def frame_times(self) -> FrameTimes:
        """When each frame is shown, without decoding any.

        Raises:
            DecodeError: there is no frame.
        """
        if len(self) < 1:
            raise DecodeError(self.path, "no frame can be decoded")
        seconds = np.array(self.seconds_of(range(len(self))))
        return FrameTimes(seconds, self.fps, self.duration_seconds)

    @abstractmethod
    def keyframe_indices(self) -> list[int]:
        """Frames that refer to no other one: each is decoded by itself, so cheaply."""

    def keyframes(self, *, short_side: int | None = None) -> Frames:
        """All frames of `keyframe_indices`: a cheap look at a long video."""
        return self.frames_at(self.keyframe_indices(), short_side=short_side)

    def valid_indices(self) -> list[int]:
        """Frames that are as they were encoded: all, except where damage is salvaged."""
        return list(range(len(self)))

    @property
    def damaged_spans(self) -> list[tuple[int, int, str]]:
        """(first frame, last frame, what is wrong) of what is not valid; only by salvaging."""
        return []

    @property
    def missing_end(self) -> str | None:
        """Why the end of the file cannot be decoded, so that `len` is what is before; else None."""
        return None

    def clips(
        self, clips: Sequence[Sequence[int]], *, short_side: int | None = None
    ) -> list[Frames]:
        """Several clips in one pass over the file: a frame that two of them want is decoded once.

        Args:
            clips: the indices of each, as in `frames_at`.
        """
        frames = self.frames_at([index for clip in clips for index in clip], short_side=short_side)
        ends = accumulate(map(len, clips), initial=0)
        return [frames.part(slice(start, end)) for start, end in pairwise(ends)]

    def chunks(
        self,
        indices: Sequence[int] | None = None,
        *,
        frames_at_once: int = 32,
        short_side: int | None = None,
    ) -> Iterator[Frames]:
        """Frames in order, a few at a time: a film of any length in bounded memory.

        Args:
            indices: as in `frames_at`; every frame where None.
            frames_at_once: frames of each chunk, at least 1; the last one may have fewer.
            short_side: as in `frames_at`.
        """
        if frames_at_once < 1:
            raise ArgumentError(f"frames_at_once: expected at least 1, got {frames_at_once}")
        wanted = range(len(self)) if indices is None else indices
        for start in range(0, len(wanted), frames_at_once):
            yield self.frames_at(wanted[start : start + frames_at_once], short_side=short_side)

    def close(self) -> None:  # noqa: B027 - most readers hold a file, a folder of images does not
        """Release the file. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
