"""From the planes that a decoder gives to upright RGB pictures of the size asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vidattn.errors import DecodeError
from vidattn.video.decoding.orientation import Orientation
from vidattn.video.decoding.resize import resize_area, resized_size
from vidattn.video.packets.demuxer import typed_errors

# Decoded frames that may wait to be converted.
_HELD_FRAMES = 4

# What frames are resized as, before they become RGB.
_RESIZED_AS = {"yuv420p": "yuv422p", "yuvj420p": "yuvj422p"}


class ShownSize:
    """How the frames of one video are shown: as the first that is seen tells; all must agree.

    Args:
        path: of the video, for messages.

    Attributes:
        orientation: how the stored picture is turned; None before the first frame.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stored: tuple[int, int] | None = None
        self.orientation: Orientation | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) as shown; None before the first frame."""
        if self._stored is None or self.orientation is None:
            return None
        return self.orientation.shown_size(self._stored)

    def learn(self, frame: Any) -> None:
        """Look at an `av.VideoFrame`.

        Raises:
            DecodeError: its size is another than that of the frames before.
        """
        size = (frame.height, frame.width)
        if self._stored is None:
            self.orientation, self._stored = Orientation.of(self._path, frame), size
        elif size != self._stored:
            expected = "x".join(map(str, self._stored[::-1]))
            raise DecodeError(
                self._path,
                f"the picture changes from {expected} to {frame.width}x{frame.height} pixels "
                f"at {frame.time or 0:.3f} s; such videos must be split first",
            )


class RgbRows:
    """Upright RGB pictures side by side in memory of our own; several threads may write.

    Args:
        path: of the video, for messages.
        shown: of the video; it learns from each frame.
        indices: of the frames wanted, in the order of the pictures; repeats are allowed.
        short_side: see `VideoReader.frames_at`.

    Attributes:
        positions: the frames to be taken: ascending, each once.
    """

    def __init__(
        self, path: str, shown: ShownSize, indices: np.ndarray, short_side: int | None
    ) -> None:
        self._path, self._shown = path, shown
        self._short_side = short_side
        unique, first, self._sources = np.unique(indices, return_index=True, return_inverse=True)
        self.positions: list[int] = unique.tolist()
        self._places: list[int] = first.tolist()
        self._lock = Lock()
        self._pixels = np.empty((0, 0, 0, 3), np.uint8)

    def pixels(self) -> np.ndarray:
        """uint8 (T, H, W, 3), one for each index, once all frames were taken."""
        if len(self.positions) < len(self._sources):
            places = np.array(self._places)[self._sources]
            repeated = np.flatnonzero(places != np.arange(len(places)))
            self._pixels[repeated] = self._pixels[places[repeated]]
        return self._pixels

    def take(self, frames: Iterator[Any], first: int, converter: RgbConverter) -> None:
        """Convert frames and put them where they belong; each is released before the next.

        Args:
            frames: `av.VideoFrame`, some in a row of `positions`.
            first: number of the first of them there.
            converter: one for each thread.

        Raises:
            DecodeError: the size of a frame is another than that of those before, or FFmpeg cannot
                convert it.
        """
        for number, frame in enumerate(frames, first):
            self._put(number, frame, converter)
            del frame  # before the next is decoded

    def take_overlapping(self, frames: Iterator[Any], first: int, converter: RgbConverter) -> None:
        """The same, but each frame is converted while the next ones are decoded."""
        with ThreadPoolExecutor(1) as pool:
            pending: deque[Future[None]] = deque()
            for number, frame in enumerate(frames, first):
                pending.append(pool.submit(self._put, number, frame, converter))
                if len(pending) > _HELD_FRAMES:
                    pending.popleft().result()
            for converted in pending:
                converted.result()

    def _put(self, number: int, frame: Any, converter: RgbConverter) -> None:
        with self._lock:
            self._shown.learn(frame)
            size, orientation = self._shown.size, self._shown.orientation
            assert size is not None
            assert orientation is not None
            if not len(self._pixels):
                size = resized_size(size, self._short_side)
                self._pixels = np.empty((len(self._sources), *size, 3), np.uint8)
        height, width = self._pixels.shape[1:3]
        picture = converter.picture(self._path, frame, (height, width), orientation)
        self._pixels[self._places[number]] = picture


class RgbConverter:
    """Makes upright RGB pictures of the size asked for; for one thread at a time.

    Keep it: what FFmpeg sets up for a conversion costs more than converting one frame. It starts no
    threads: loaders have a worker for every core already.
    """

    def __init__(self) -> None:
        self._resizer, self._reformatter = VideoReformatter(), VideoReformatter()

    def picture(
        self, path: str, frame: Any, size: tuple[int, int], orientation: Orientation
    ) -> np.ndarray:
        """Uint8 (height, width, 3), which may be a view of memory that FFmpeg owns.

        Args:
            path: of the video, for messages.
            frame: `av.VideoFrame`.
            size: (height, width) as shown.
            orientation: how the stored picture is turned to be shown.

        Raises:
            DecodeError: FFmpeg cannot convert this frame.
        """
        shape = orientation.shown_size(size)
        with typed_errors(path, "cannot convert a frame to RGB"):
            # swscale resizes each field by itself, so interlaced pictures are resized afterwards.
            if shape != (frame.height, frame.width) and not frame.interlaced_frame:
                frame = self._resized(frame, shape)
            picture = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane: Any = picture.planes[0]
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        stored = lines[:, : plane.width * 3].reshape(plane.height, plane.width, 3)
        return orientation.apply(resize_area(stored, shape))

    def _resized(self, frame: Any, shape: tuple[int, int]) -> Any:
        height, width = shape
        name = frame.format.name
        # At once to RGB, swscale takes twice as long. By way of 4:2:2 it keeps as much colour as
        # it then would: half across where the width is even, else all of it.
        between = "rgb24"
        if name in _RESIZED_AS:
            between = "gbrp" if width % 2 else _RESIZED_AS[name]
        return self._resizer.reformat(
            frame,
            width=width,
            height=height,
            format=between,
            interpolation=Interpolation.AREA,
            threads=1,
        )
