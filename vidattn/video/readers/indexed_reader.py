from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from vidattn.errors import ArgumentError, DecodeError
from vidattn.sampling.times import FrameTimes
from vidattn.video.decoding.resize import resized_size
from vidattn.video.frames import Frames
from vidattn.video.reader import VideoReader


class IndexedReader(VideoReader):
    """A reader that knows the time of every frame.

    Subclasses set `_seconds`, float64 of shape (number of frames,), `_keys`, the ascending indices
    of its intra frames, and `_size`, or write `size`; and they write `_decode`. Those that give
    damaged frames too set `_valid`.
    """

    _seconds: np.ndarray
    _keys: np.ndarray
    _size: tuple[int, int]
    _valid: np.ndarray | None = None
    _closed = False

    @abstractmethod
    def _decode(self, indices: np.ndarray, short_side: int | None) -> np.ndarray:
        """Frames with these indices, at least one, as uint8 (T, H, W, 3).

        Indices come in any order, and more than once; none should be decoded twice. Frames are
        resized as `frames_at` says.
        """

    @property
    def size(self) -> tuple[int, int]:
        """As the interface says."""
        return self._size

    def __len__(self) -> int:
        return len(self._seconds)

    def seconds_of(self, indices: Sequence[int]) -> list[float]:
        """As the interface says."""
        return self._seconds[self._checked(np.asarray(indices))].tolist()

    @property
    def frame_times(self) -> FrameTimes:
        """As the interface says."""
        if not len(self):
            return super().frame_times
        return FrameTimes(self._seconds, self.fps, self.duration_seconds)

    def frames_at(self, indices: Sequence[int], *, short_side: int | None = None) -> Frames:
        """As the interface says; repeats are decoded once."""
        self._check_open()
        wanted = self._checked(np.asarray(indices))
        if len(wanted):
            rows = self._decode(wanted, short_side)
        else:
            rows = np.empty((0, *resized_size(self.size, short_side), 3), np.uint8)
        return Frames.from_array(
            rows,
            seconds=self._seconds[wanted],
            indices=wanted,
            source_size=self.size,
            timestamps_made_up=self.timestamps_made_up,
            valid=None if self._valid is None else self._valid[wanted],
        )

    def frames_between(
        self, start_seconds: float, end_seconds: float, *, short_side: int | None = None
    ) -> Frames:
        """As the interface says; possibly no frame."""
        inside = (self._seconds >= start_seconds) & (self._seconds < end_seconds)
        return self.frames_at(np.flatnonzero(inside).tolist(), short_side=short_side)

    def intra_frame_indices(self) -> list[int]:
        """As the interface says."""
        return self._keys.tolist()

    def close(self) -> None:
        """Release the file; asking for frames afterwards is an error."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise DecodeError(self.path, "the reader is closed")

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise ArgumentError(f"{self.path}: indices: expected a list of whole numbers")
        wanted = indices.astype(np.int64)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if outside.size:
            raise IndexError(f"{self.path}: frame {outside[0]}: expected 0 to {len(self) - 1}")
        return wanted
