"""How far apart the frames of a clip are: so many frames, or so many seconds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import IntArray
from vidattn.errors import ArgumentError
from vidattn.sampling.dense import dense_clips, dense_span, random_start, view_starts
from vidattn.sampling.padding import pad, require_positive
from vidattn.sampling.times import FrameTimes
from vidattn.sampling.windows import sliding_windows

# Frames (…, T), int64, and which of them are real, bool of the same shape.
Clips = tuple[np.ndarray, np.ndarray]


class Spacing(ABC):
    """Clips of one video whose frames are a fixed step apart.

    All methods return the frames, int64 (…, T), and which of them are real, bool of the same
    shape: a video that is too short repeats its last frame.
    """

    @abstractmethod
    def random_clip(self, generator: np.random.Generator) -> Clips:
        """One clip, (T,), from a random place: all that fit are equally likely."""

    @abstractmethod
    def views(self, count: int) -> Clips:
        """(count, T): evenly from the first clip that fits to the last; one is in the middle."""

    @abstractmethod
    def windows(self, hop: int | None = None) -> Clips:
        """(windows, T): clips that together cover the video to its last frame.

        Args:
            hop: frames from one window's start to the next's; half a window where None.

        Raises:
            ArgumentError: the hop is longer than a window, so that frames would be seen by none.
        """

    @abstractmethod
    def around(self, frames: ArrayLike) -> Clips:
        """(N, T): a clip centred on each of N frames, as far as the video reaches."""


@dataclass(frozen=True)
class FrameSpacing(Spacing):
    """Steps counted in frames.

    Attributes:
        frame_count: of the video.
        length: T, frames a clip.
        stride: frames from one to the next; may be a fraction, see `dense_clips`.
    """

    frame_count: int
    length: int
    stride: float

    def random_clip(self, generator: np.random.Generator) -> Clips:
        """As the interface says."""
        return self._clips(random_start(self.frame_count, self.length, self.stride, generator))

    def views(self, count: int) -> Clips:
        """As the interface says."""
        return self._clips(view_starts(self.frame_count, self.length, self.stride, count))

    def windows(self, hop: int | None = None) -> Clips:
        """As the interface says."""
        return sliding_windows(self.frame_count, self.length, stride=self.stride, hop=hop)

    def around(self, frames: ArrayLike) -> Clips:
        """As the interface says."""
        span = dense_span(self.length, self.stride)
        latest = max(self.frame_count - span, 0)
        return self._clips(np.clip(np.asarray(frames) - span // 2, 0, latest))

    def _clips(self, starts: np.ndarray | int) -> Clips:
        return pad(dense_clips(starts, self.length, self.stride), self.frame_count)


@dataclass(frozen=True)
class TimeSpacing(Spacing):
    """Steps counted in seconds, for videos whose frames are not evenly apart.

    A clip starts at a frame's own time; from there on it takes the frame nearest to each moment.
    A frame that stays on the screen for long is taken again and again, as it is seen. Moments
    more than half a step behind the last frame are not real.

    Attributes:
        times: of the video's frames.
        length: T, frames a clip.
        step_seconds: from one to the next.
    """

    times: FrameTimes
    length: int
    step_seconds: float

    def __post_init__(self) -> None:
        require_positive("length", self.length)
        require_positive("step_seconds", self.step_seconds)

    def random_clip(self, generator: np.random.Generator) -> Clips:
        """As the interface says; every moment is equally likely."""
        latest = self._latest()
        moment = generator.uniform(self._seconds[0], self._seconds[latest])
        return self._clips(np.minimum(self.times.nearest(moment), latest))

    def views(self, count: int) -> Clips:
        """As the interface says, evenly in time."""
        require_positive("views", count)
        latest = self._latest()
        first, last = self._seconds[0], self._seconds[latest]
        moments = np.linspace(first, last, count) if count > 1 else np.array([(first + last) / 2])
        return self._clips(np.minimum(self.times.nearest(moments), latest))

    def windows(self, hop: int | None = None) -> Clips:
        """As the interface says; a hop of frames lasts as long as these do on average."""
        apart = self._hop_seconds(hop)
        latest = self._latest()
        moments = np.arange(self._seconds[0], self._seconds[latest], apart)
        starts = np.append(np.minimum(self.times.nearest(moments), latest), latest)
        if self.times.nearest(self._seconds[latest] + self._span) < len(self.times) - 1:
            starts = np.append(starts, latest + 1)  # the last frame follows after a pause
        return self._clips(np.unique(starts))

    def around(self, frames: ArrayLike) -> Clips:
        """As the interface says."""
        moments = self._seconds[np.asarray(frames, np.int64)] - self._span / 2
        return self._clips(np.minimum(self.times.nearest(moments), self._latest()))

    @property
    def _seconds(self) -> np.ndarray:
        return self.times.seconds

    @property
    def _span(self) -> float:
        return (self.length - 1) * self.step_seconds

    def _latest(self) -> int:
        """The last frame that a clip can start at and be whole; 0 if the video is too short."""
        room = self._seconds[-1] - self._span
        # Sums of steps come out a little above what they are.
        fits = np.searchsorted(self._seconds, room + 1e-6 * self.step_seconds, side="right")
        return max(int(fits) - 1, 0)

    def _hop_seconds(self, hop: int | None) -> float:
        if hop is None:
            return self._span / 2 or self.step_seconds
        require_positive("hop", hop)
        longest = self.length * self.step_seconds
        if hop / self.times.fps > longest * (1 + 1e-6):
            raise ArgumentError(
                f"hop: expected at most {longest:g} s, the length of a window, got {hop} frames of "
                f"{1 / self.times.fps:g} s: frames between the windows would be seen by none"
            )
        return hop / self.times.fps

    def _clips(self, starts: IntArray) -> Clips:
        moments = self._seconds[starts][..., None] + np.arange(self.length) * self.step_seconds
        valid = moments <= self._seconds[-1] + self.step_seconds / 2
        return self.times.nearest(moments), valid
