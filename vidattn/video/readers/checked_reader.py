from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np

from vidattn.errors import ArgumentError, DecodeError
from vidattn.heartbeat import beat
from vidattn.video.decoding.resize import resize_area, resized_size
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.metadata import VideoMetadata
from vidattn.video.readers.indexed_reader import IndexedReader
from vidattn.video.readers.pyav_reader import PyavReader
from vidattn.video.sources.addresses import VideoLike, as_source
from vidattn.video.sources.local import LocalFile
from vidattn.video.sources.paths import checked_path

# Timestamps of two decoders are the same within this; a frame lasts at least eight times longer.
SECONDS_TOLERANCE = 1e-3


class CheckedReader(IndexedReader):
    """A second decoder whose frames are named by the file's own index.

    The index is the PyAV reader's. A file whose packets are not plainly its frames is refused,
    for there this decoder may give other frames, or never return; so is one where its count of
    frames, their times or their size are others.

    Args:
        video: the path of a file; other sources are refused.
        limits: what the file may ask for.

    Attributes:
        stream_index: which of the file's streams this is.
    """

    name: str
    refused_containers: tuple[str, ...] = ()  # known to give wrong frames without a sign

    def __init__(self, video: VideoLike, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.source = as_source(video)
        self.path = str(self.source)
        if not isinstance(self.source, LocalFile):
            raise ArgumentError(f"{self.path}: {self.name} reads files of this machine; use pyav")
        self._file = str(checked_path(self.source.path))
        with PyavReader(self.source, limits=limits) as index:
            if index.full_decode_reason is not None:
                self._refuse(index.full_decode_reason)
            self._seconds = np.array(index.seconds_of(range(len(index))))
            self._keys = np.array(index.intra_frame_indices(), np.int64)
            self._size, self.fps = index.size, index.fps
            self._metadata = index.metadata
            self.duration_seconds = index.duration_seconds
            self.stream_index = index.stream_index
            if index.container_format in self.refused_containers:
                self._refuse(f"the container {index.container_format}")
            if index.orientation.mirrored:
                self._refuse("the picture is to be shown mirrored")

    @property
    def metadata(self) -> VideoMetadata:
        """As the interface says."""
        return replace(self._metadata, decoder=self.decoder)

    @abstractmethod
    def _read(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Frames (T, H, W, 3) uint8 and, where the decoder tells, their times."""

    def _decode(self, indices: np.ndarray, short_side: int | None) -> np.ndarray:
        size = resized_size(self.size, short_side)
        unique, places = np.unique(indices, return_inverse=True)
        rows, seconds = self._read(unique.tolist())
        beat()
        self._check_frames(unique, rows, seconds)
        if size != self.size:
            rows = np.stack([resize_area(row, size) for row in rows])
        return rows if np.array_equal(unique, indices) else rows[places]

    def close(self) -> None:
        """Release the file; asking for frames afterwards is an error."""
        self._closed = True
        self._video = None

    def _refuse(self, reason: str) -> None:
        raise DecodeError(self.path, f"{reason}: {self.name} may be wrong here; use pyav")

    def _check_count(self, count: int) -> None:
        if count != len(self):
            self._refuse(f"{self.name} counts {count} frames, the file has {len(self)}")

    def _check_frames(
        self, indices: np.ndarray, rows: np.ndarray, seconds: np.ndarray | None
    ) -> None:
        expected = (len(indices), *self.size, 3)
        if rows.shape != expected or rows.dtype != np.uint8:
            self._refuse(f"frames of shape {rows.shape} came where {expected} was expected")
        if seconds is not None:
            self._check_times(self._seconds[indices], seconds)

    def _check_times(self, expected: np.ndarray, found: np.ndarray) -> None:
        difference = np.abs(expected - found)
        if (difference > SECONDS_TOLERANCE).any():
            place = int(difference.argmax())
            self._refuse(f"a frame at {found[place]:.4f} s came for {expected[place]:.4f} s")
