from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from vidattn.errors import ArgumentError, DecodeError, VidattnError
from vidattn.naming import Renamed
from vidattn.sampling.times import FrameTimes
from vidattn.video.frames import Frames
from vidattn.video.metadata import VideoMetadata
from vidattn.video.notebook import SHOWN_FRAMES, STRIP_HEIGHT, shown_places, strip_html
from vidattn.video.sources.source import VideoSource

# What an iteration holds at once, in bytes of pixels and in frames.
_ITERATION_BYTES, _ITERATION_FRAMES = 2**26, 32


class VideoReader(ABC):
    """Random access to the frames of one video, by position in presentation order.

    A reader belongs to the process and thread that opened it: open it inside the worker.

    `reader[7]`, `reader[-1]` and `reader[10:50:5]` are `Frames`, and so is each single frame of
    `for frame in reader`, which holds a few at a time. A notebook shows facts and some frames.

    Attributes:
        path: the address of the video, as the caller gave it.
        source: where it comes from, to open it once more.
        decoder: name and version of what decodes, such as "pyav 18.1.0".
        fps: average frames per second; never 0.
        duration_seconds: from the first frame's start to the last one's end.
        timestamps_made_up: True where the file has none and `index / fps` stands in.
    """

    path: str
    source: VideoSource
    decoder: str
    fps: float
    duration_seconds: float
    timestamps_made_up: bool = False
    if not TYPE_CHECKING:
        keyframe_indices = Renamed("intra_frame_indices")
        keyframes = Renamed("intra_frames")

    @classmethod  # noqa: B027 - some decoders are always there
    def require_library(cls) -> None:
        """Raise `DecoderUnavailableError` where the library that decodes does not load here."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """(height, width) as shown, after rotation, in pixels."""

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
    def intra_frame_indices(self) -> list[int]:
        """Frames that reference no other frame: each is decoded by itself, so cheaply."""

    def intra_frames(self, *, short_side: int | None = None) -> Frames:
        """All frames of `intra_frame_indices`: a cheap look at a long video."""
        return self.frames_at(self.intra_frame_indices(), short_side=short_side)

    @property
    def metadata(self) -> VideoMetadata:
        """All that is known of the video; decodes the first frame where its size is not known.

        Raises:
            DecodeError: there is no frame.
        """
        seconds = self.frame_times.seconds
        intra = self.intra_frame_indices()
        bounds = np.append(seconds[intra], seconds[-1])
        return VideoMetadata(
            frame_count=len(self),
            fps=self.fps,
            duration_seconds=self.duration_seconds,
            first_seconds=float(seconds[0]),
            size=self.size,
            decoder=self.decoder,
            intra_frame_count=len(intra),
            longest_intra_frame_gap_seconds=float(np.diff(bounds).max(initial=0)),
            timestamps_made_up=self.timestamps_made_up,
        )

    def keep_packet_table(self) -> None:  # noqa: B027 - only files of packets have one
        """Keep what opening read of the packets, so that opening is quicker the next time.

        Raises:
            OSError: it cannot be written.
        """

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

    def __getitem__(self, place: int | slice) -> Frames:
        """One frame or several; negative numbers count from the end.

        All are decoded at once: go through a long part of a video with `chunks`.

        Raises:
            IndexError: there is no such frame.
        """
        if isinstance(place, slice):
            return self.frames_at(range(len(self))[place])
        if not -len(self) <= place < len(self):
            raise IndexError(
                f"{self.path}: frame {place}: expected {-len(self)} to {len(self) - 1}"
            )
        return self.frames_at([range(len(self))[place]])

    def __iter__(self) -> Iterator[Frames]:
        """Every frame, one by one, in bounded memory."""
        height, width = self.size
        held = _ITERATION_BYTES // (3 * height * width)
        for frames in self.chunks(frames_at_once=min(max(held, 1), _ITERATION_FRAMES)):
            yield from frames

    def __repr__(self) -> str:
        name = os.path.basename(self.path) or self.path
        try:
            height, width = self.size
            size = f"{width}×{height}, "
        except VidattnError:  # closed, or of another process, or damaged
            size = ""
        return (
            f"{type(self).__name__}({name!r}, {len(self)} frames, {size}{self.fps:g} fps, "
            f"{self.duration_seconds:.2f} s, {self.decoder})"
        )

    def _repr_html_(self) -> str:
        intra = self.intra_frame_indices()  # decoded by themselves
        among = intra if len(intra) >= SHOWN_FRAMES else range(len(self))
        wanted = [among[place] for place in shown_places(len(among))]
        try:
            shown = self.frames_at(wanted, short_side=STRIP_HEIGHT).array
        except VidattnError:
            shown = np.empty(0, np.uint8)
        return strip_html(repr(self), shown)

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
