from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidattn.data.framing import fit, resize
from vidattn.data.spec import Aspect
from vidattn.sampling import FrameTimes
from vidattn.video.frames import Frames
from vidattn.video.sources.source import VideoSource

# times of the video's frames -> indices and valid mask, of one shape
Choose = Callable[[FrameTimes], tuple[np.ndarray, np.ndarray]]


class _Video(NamedTuple):
    frames: Frames
    times: FrameTimes


class FrameSource:
    """Frames of video files at one short side, decoded on demand or kept in memory.

    Args:
        short_side: pixels of the shorter side; smaller frames are enlarged.
        aspect: see `fit`.
        decoder: see `vidattn.open_video`.
        keep: decode a file whole when it is first asked for, and keep its resized frames.
        size: (height, width) of every frame in the end, whatever its shape; None: as `aspect` says.
    """

    def __init__(
        self,
        *,
        short_side: int,
        aspect: Aspect = "keep",
        decoder: str = "pyav",
        keep: bool = False,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.short_side = short_side
        self.aspect: Aspect = aspect
        self.decoder = decoder
        self.keep = keep
        self.size = size
        self._kept: dict[Path | VideoSource, _Video] = {}

    def select(self, path: Path | VideoSource, choose: Choose) -> tuple[Frames, np.ndarray]:
        """The frames that `choose` picks once it knows when the video's frames are.

        Returns:
            The frames in order, and the valid mask, bool, flattened.

        Raises:
            VideoError: the file cannot be used.
        """
        if self.keep:
            video = self.load(path)
            indices, valid = choose(video.times)
            return video.frames.take(indices.ravel()), valid.ravel()
        from vidattn.video import open_video

        with open_video(path, decoder=self.decoder) as reader:
            indices, valid = choose(reader.frame_times)
            frames = reader.frames_at(indices.ravel().tolist(), short_side=self.short_side)
        return self._fitted(frames, path), valid.ravel()

    def clips(
        self, path: Path | VideoSource, choose: Choose
    ) -> tuple[Frames, np.ndarray, np.ndarray]:
        """The frames of several clips of one video, each of them once, decoded in one pass.

        Returns:
            The frames that any clip has, in order of time; for each clip the places of its
            frames among these, int64 (clips, T); and the valid mask, bool (clips, T).

        Raises:
            VideoError: the file cannot be used.
        """
        planned: list[np.ndarray] = []

        def choose_once(times: FrameTimes) -> tuple[np.ndarray, np.ndarray]:
            indices, valid = choose(times)
            union, places = np.unique(indices, return_inverse=True)
            planned.extend((places.reshape(indices.shape), valid))
            return union, np.ones(union.shape, dtype=bool)

        frames, _ = self.select(path, choose_once)
        places, valid = planned
        return frames, places, valid

    def load(self, path: Path | VideoSource) -> _Video:
        """The whole video, decoded now unless it was before; it stays in memory."""
        if path not in self._kept:
            from vidattn.video import open_video

            with open_video(path, decoder=self.decoder) as reader:
                times = reader.frame_times
                frames = reader.frames_at(range(len(times)), short_side=self.short_side)
                self._kept[path] = _Video(self._fitted(frames, path), times)
        return self._kept[path]

    def _fitted(self, frames: Frames, path: Path | VideoSource) -> Frames:
        frames = fit(frames, self.short_side, self.aspect, str(path))
        return frames if self.size is None else resize(frames, self.size)
