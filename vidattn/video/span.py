from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from vidattn.errors import ArgumentError
from vidattn.video.frames import Frames
from vidattn.video.metadata import VideoMetadata
from vidattn.video.reader import VideoReader


class ReaderSpan(VideoReader):
    """The frames of a reader between two times, counted from 0; their seconds stay the film's.

    Args:
        reader: of the whole film; it is closed by whoever opened it.
        start_seconds, end_seconds: on the film's own clock; frames whose time lies in
            [start, end). None is the film's own start or end.

    Attributes:
        first: number of the span's first frame in the film.
        reaches_the_end: whether its last frame is the film's.

    Raises:
        ArgumentError: no frame lies there, or a time is NaN.
    """

    def __init__(
        self,
        reader: VideoReader,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> None:
        for name, time in (("start", start_seconds), ("end", end_seconds)):
            if time is not None and math.isnan(time):
                raise ArgumentError(f"{reader.path}: {name}: expected seconds, got {time}")
        seconds = reader.seconds_of(range(len(reader)))
        self.first = 0 if start_seconds is None else bisect_left(seconds, start_seconds)
        end = len(seconds) if end_seconds is None else bisect_left(seconds, end_seconds)
        if end <= self.first:
            raise ArgumentError(
                f"{reader.path}: no frame lies from {start_seconds or 0:g} to "
                f"{'the end' if end_seconds is None else f'{end_seconds:g}'} seconds; "
                f"its frames lie from {seconds[0]:.2f} to {seconds[-1]:.2f}"
            )
        self.reader = reader
        self.path, self.source = reader.path, reader.source
        self.decoder, self.fps = reader.decoder, reader.fps
        self.timestamps_made_up = reader.timestamps_made_up
        self._count = end - self.first
        self.reaches_the_end = end == len(seconds)
        film_end = seconds[0] + reader.duration_seconds
        span_end = seconds[end] if end < len(seconds) else max(film_end, seconds[-1])
        self.duration_seconds = span_end - seconds[self.first]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as shown."""
        return self.reader.size

    def __len__(self) -> int:
        """Frames of the span."""
        return self._count

    def frames_at(self, indices: Sequence[int], *, short_side: int | None = None) -> Frames:
        """See `VideoReader.frames_at`."""
        if wrong := [index for index in indices if not 0 <= index < self._count]:
            raise IndexError(f"{self.path}: frame {wrong[0]} is not below {self._count}")
        shifted = [index + self.first for index in indices]
        return self.reader.frames_at(shifted, short_side=short_side).counted_from(self.first)

    def frames_between(
        self, start_seconds: float, end_seconds: float, *, short_side: int | None = None
    ) -> Frames:
        """See `VideoReader.frames_between`; times are the film's."""
        own = self.seconds_of(range(self._count))
        indices = range(bisect_left(own, start_seconds), bisect_left(own, end_seconds))
        return self.frames_at(indices, short_side=short_side)

    def seconds_of(self, indices: Sequence[int]) -> list[float]:
        """See `VideoReader.seconds_of`; times are the film's."""
        return self.reader.seconds_of([index + self.first for index in indices])

    def intra_frame_indices(self) -> list[int]:
        """See `VideoReader.intra_frame_indices`."""
        return self._inside(self.reader.intra_frame_indices())

    @property
    def metadata(self) -> VideoMetadata:
        """Of the span where that makes a difference, else of the film."""
        own = super().metadata
        return replace(
            self.reader.metadata,
            frame_count=own.frame_count,
            duration_seconds=own.duration_seconds,
            first_seconds=own.first_seconds,
            intra_frame_count=own.intra_frame_count,
            longest_intra_frame_gap_seconds=own.longest_intra_frame_gap_seconds,
        )

    def valid_indices(self) -> list[int]:
        """See `VideoReader.valid_indices`."""
        return self._inside(self.reader.valid_indices())

    @property
    def damaged_spans(self) -> list[tuple[int, int, str]]:
        """See `VideoReader.damaged_spans`; what reaches past the span is cut."""
        last = self._count - 1
        shifted = [(a - self.first, b - self.first, why) for a, b, why in self.reader.damaged_spans]
        return [(max(a, 0), min(b, last), why) for a, b, why in shifted if a <= last and b >= 0]

    def _inside(self, indices: list[int]) -> list[int]:
        return [i - self.first for i in indices if 0 <= i - self.first < self._count]
