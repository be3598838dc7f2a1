"""Frames that neighbouring batches of windows share are decoded once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidattn.video import Frames, VideoReader

IntArray = NDArray[np.int64]


class OverlappingFrames:
    """Frames of one video for one batch of windows after the other.

    Windows overlap, so a batch begins before the end of the last one. To go back, a decoder starts
    again at the key frame before: in films with few key frames, that decodes most frames twice.

    Args:
        reader: the open video.
        short_side: of the frames, as `VideoReader.frames_at` has it.
    """

    def __init__(self, reader: VideoReader, short_side: int) -> None:
        self._reader = reader
        self._short_side = short_side
        self._held: Frames | None = None

    def take(self, wanted: IntArray, wanted_next: IntArray) -> Frames:
        """Some frames; those that are wanted again are held.

        Args:
            wanted: their numbers, increasing, at least one.
            wanted_next: numbers of the frames of the next call.

        Raises:
            VideoError: a frame cannot be decoded.
        """
        found = self._joined(wanted)
        again = np.isin(wanted, wanted_next)
        self._held = _parts(found, again) if again.any() else None
        return found

    def _joined(self, wanted: IntArray) -> Frames:
        held = self._held
        if held is None:
            return self._decoded(wanted)
        known = np.isin(wanted, held.indices_array)
        old = _parts(held, np.isin(held.indices_array, wanted))
        if known.all():
            return old
        new = self._decoded(wanted[~known])
        order = np.argsort(np.concatenate([np.flatnonzero(known), np.flatnonzero(~known)]))
        return Frames.from_array(
            np.concatenate([old.array, new.array])[order],
            seconds=np.concatenate([old.seconds_array, new.seconds_array])[order],
            indices=wanted,
            source_size=new.source_size,
            timestamps_made_up=new.timestamps_made_up,
            valid=np.concatenate([old.valid_array, new.valid_array])[order],
        )

    def _decoded(self, wanted: IntArray) -> Frames:
        return self._reader.frames_at(wanted.tolist(), short_side=self._short_side)


def _parts(frames: Frames, kept: NDArray[np.bool_]) -> Frames:
    return Frames.from_array(
        frames.array[kept],
        seconds=frames.seconds_array[kept],
        indices=frames.indices_array[kept],
        source_size=frames.source_size,
        timestamps_made_up=frames.timestamps_made_up,
        valid=frames.valid_array[kept],
    )
