from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidattn.errors import DecodeError
from vidattn.video.cursor import DecodingCursor
from vidattn.video.index import FrameIndex, suspicion
from vidattn.video.indexed_reader import IndexedReader
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.orientation import Orientation
from vidattn.video.paths import checked_path
from vidattn.video.picture import rgb_picture
from vidattn.video.plan import DecodingPlan
from vidattn.video.references import may_leave_out
from vidattn.video.resize import resized_size
from vidattn.video.timing import duration_seconds, filled, frame_rate


class PyavReader(IndexedReader):
    """Exact frames of the first video stream of a file, decoded by FFmpeg through PyAV.

    Opening reads the packets without decoding them and sorts their times. Where the packets may
    not be the frames (missing, repeated or guessed timestamps, a truncated file, a header that
    says otherwise, …) every frame is decoded once instead and counted, and later requests
    decode from the beginning: slower, never wrong.

    All frames of a reader have one size, that of the first it decodes; one of another size
    raises. Frames are turned and mirrored by the file's display matrix. Pixels that are not square
    are left as stored; more than 8 bits are rounded to 8 without tone mapping.

    Args:
        path: a video file.
        limits: what the file may ask for.

    Attributes:
        sample_aspect_ratio: width of a pixel over its height.
        full_decode_reason: why the packets were not trusted; None where they were.
        damage: what the decoder refused while it counted; None where it refused nothing. The
            frames that the packets promise count in `len`, and asking for them raises.
        stream_index: which of the file's streams this is.
        container_format: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        packet_table: what its packets say.

    Raises:
        VideoNotFoundError, NotAVideoError, UnsafePathError, LimitError: as they say.
        DecodeError: its packets cannot be read, or no frame can be decoded.
    """

    def __init__(self, path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.path = os.fspath(path)
        self.decoder = f"pyav {av.__version__}"
        self._limits = limits
        self._reformatter = VideoReformatter()
        self._orientation: Orientation | None = None
        self._stored_size: tuple[int, int] | None = None
        self.damage: str | None = None
        self._seekable = True
        self._leaves_out = False
        self._reads_on = False
        self._previous: int | None = None
        self._frugal = True
        self._cursor = DecodingCursor(self.path, checked_path(path), limits)
        try:
            self._read_index()
        except BaseException:
            self.close()
            raise

    @cached_property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """(height, width) as shown; decodes the first frame where none was yet."""
        if self._orientation is None:
            self._cursor.rewind()
            self._learn(self._next_frame(0))
        assert self._orientation is not None
        assert self._stored_size is not None
        return self._orientation.shown_size(self._stored_size)

    @property
    def orientation(self) -> Orientation:
        """How the stored picture is turned to be shown; applied already."""
        self.size  # noqa: B018 - learns it from the first frame
        assert self._orientation is not None
        return self._orientation

    def close(self) -> None:
        """Release the file; asking for frames afterwards is an error."""
        self._closed = True
        if hasattr(self, "_cursor"):
            self._cursor.close()

    # -- opening ---------------------------------------------------------------------------

    def _read_index(self) -> None:
        stream = self._cursor.stream
        self.stream_index = stream.index
        self.container_format = self._cursor.container.format.name
        self.codec = stream.codec_context.name
        self.sample_aspect_ratio = float(stream.sample_aspect_ratio or 1)
        self._declared_frames = stream.frames
        declared_rate = float(stream.average_rate or stream.guessed_rate or 0)
        table = self._cursor.scan()
        time_base = stream.time_base
        self.packet_table = table
        self.full_decode_reason = suspicion(table, self._cursor.container, stream)
        self._index: FrameIndex | None = None
        if self.full_decode_reason is None:
            self._index = FrameIndex.build(table)
            self._seconds = _seconds(self._index.timestamps.tolist(), time_base)
            self._keys = np.flatnonzero(table.keys[self._index.packets])
            tail = int(table.durations[self._index.packets[-1]]) * time_base
            self._lost = len(self)
            self._leaves_out = may_leave_out(stream.codec_context)
        else:
            times = self._decode_all()
            tail = int(table.durations[table.presentation.argmax()]) * time_base
            self.timestamps_made_up = None in times
            step = 1 / (declared_rate or 25.0)
            self._seconds = filled(times, step, max(self._promised() - len(times), 0))
        self.fps = frame_rate(self._seconds, declared_rate)
        self.duration_seconds = duration_seconds(self._seconds, float(tail), self.fps)
        self._limits.check_seconds(self.path, self.duration_seconds)

    def _decode_all(self) -> list[float | None]:
        """Time of every frame that decodes, in the decoder's order."""
        self._cursor.rewind()
        times: list[float | None] = []
        keys: list[int] = []
        while (frame := self._next_or_damage(first=not times)) is not None:
            self._learn(frame)
            if frame.key_frame:
                keys.append(len(times))
            times.append(None if frame.pts is None else frame.time)
            del frame
        self._lost = len(times)
        self._keys = np.array(keys, np.int64)
        if not times:
            raise DecodeError(self.path, "it has a video stream, but no frame that can be decoded")
        self._cursor.rewind()
        return times

    def _next_or_damage(self, *, first: bool) -> Any | None:
        try:
            return self._cursor.next_frame()
        except DecodeError as error:
            if first:
                raise
            self.damage = error.reason
            return None

    def _promised(self) -> int:
        """How many frames complete packets stand for, where the decoder refused one of them."""
        if self.damage is None or self.packet_table.damaged.any():
            return 0  # nothing refused, or only what the end of the file cuts off
        return int((~self.packet_table.discarded).sum())

    def _learn(self, frame: Any) -> None:
        size = (frame.height, frame.width)
        if self._stored_size is None:
            self._stored_size = size
            self._orientation = Orientation.of(frame)
        elif size != self._stored_size:
            expected = "x".join(map(str, self._stored_size[::-1]))
            raise DecodeError(
                self.path,
                f"the picture changes from {expected} to {frame.width}x{frame.height} pixels "
                f"at {frame.time or 0:.3f} s; such videos must be split first",
            )

    # -- decoding --------------------------------------------------------------------------

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        beyond = indices[(indices >= len(self)) & (indices < self._declared_frames)]
        if self.damage is not None and len(beyond):
            raise DecodeError(
                self.path,
                f"frame {beyond[0]}: the header declares {self._declared_frames} frames, "
                f"only {len(self)} can be decoded ({self.damage})",
            )
        return super()._checked(indices)

    def _decode(self, indices: np.ndarray, short_side: int | None) -> np.ndarray:
        rows: Any = None  # the first frame tells their size
        for place, frame in enumerate(self.decoded_frames(indices.tolist())):
            self._learn(frame)
            if rows is None:
                size = resized_size(self.size, short_side)
                rows = np.empty((len(indices), *size, 3), np.uint8)
            self._convert(frame, rows[place])
            del frame
        return rows

    def decoded_frames(self, positions: Sequence[int]) -> Iterator[Any]:
        """Frames as the decoder gives them (`av.VideoFrame`): native planes, not yet turned.

        Between the first wanted frame's key frame and the last wanted one, frames that are not
        wanted are decoded only if others refer to them.

        Release each before asking for the next. Decoders patch holes in damaged pictures from
        recycled memory: holding frames back changes what they find there, and so the result.

        Args:
            positions: ascending; other orders are right too, but slower.
        """
        if self._index is None:
            for position in positions:
                yield self._count_to(self._kept(position))
            return
        # A reader that goes on once will do so again: what it decodes ahead is then not lost.
        self._reads_on |= self._goes_on(positions, self._index)
        plan = DecodingPlan.make(self._index, positions, read_on=self._reads_on)
        for position, last in zip(positions, plan.lasts, strict=True):
            yield self._find(self._kept(position), self._index, plan.wanted, last)

    def _kept(self, position: int) -> int:
        if position >= self._lost:
            raise DecodeError(self.path, f"frame {position}: {self.damage}")
        return position

    def _goes_on(self, positions: Sequence[int], index: FrameIndex) -> bool:
        """Whether these frames follow those of the request before, in the same group."""
        if not len(positions):
            return self._reads_on
        before, self._previous = self._previous, positions[-1]
        return (
            before is not None
            and before < positions[0]
            and (index.starts[positions[0]] == index.starts[before])
        )

    def _count_to(self, position: int) -> Any:
        if self._cursor.spent or self._cursor.emitted > position:
            self._cursor.rewind()
        while self._cursor.emitted < position:
            self._next_frame(position)
        return self._next_frame(position)

    def _find(
        self, position: int, index: FrameIndex, wanted: Container[int], last: int | None
    ) -> Any:
        """The frame, by the cheapest way that gives it: each failure rules a way out for good."""
        start = int(index.starts[position])
        if self._frugal:
            try:
                return self._search(
                    position, index, start, wanted if self._leaves_out else None, last
                )
            except DecodeError:  # what was left out changed the order in which frames come out
                self._frugal = False
                self._cursor.rewind()
        if self._seekable:
            try:
                return self._search(position, index, start)
            except DecodeError:
                if not self._cursor.sought:
                    raise
            # That key packet was no clean start (gradual refresh, lost references).
            self._seekable = False
            self._cursor.rewind()
        return self._search(position, index, 0)

    def _search(
        self,
        position: int,
        index: FrameIndex,
        start: int,
        wanted: Container[int] | None = None,
        last: int | None = None,
    ) -> Any:
        time, cursor = int(index.timestamps[position]), self._cursor
        behind = cursor.last_timestamp is not None and cursor.last_timestamp >= time
        gone = cursor.emptied and cursor.position <= index.packets[position]
        if (
            cursor.astray
            or behind
            or gone
            or cursor.spent
            or start > cursor.position
            or time in cursor.passed
        ):
            cursor.seek(start)
        while True:
            frame = self._next_frame(position, wanted, last)
            late = frame.pts is not None and frame.pts > time
            if late or (cursor.sought and frame.is_corrupt):
                raise DecodeError(
                    self.path, f"frame {position}: nothing decodes at {self._seconds[position]} s"
                )
            if frame.pts == time:
                return frame
            del frame  # before the next is decoded

    def _next_frame(
        self, position: int, wanted: Container[int] | None = None, last: int | None = None
    ) -> Any:
        frame = self._cursor.next_frame(wanted, last=last)
        if frame is None:
            raise DecodeError(self.path, f"frame {position}: the video ends before it")
        return frame

    def _convert(self, frame: Any, row: np.ndarray) -> None:
        """Write a decoded frame into `row` (H, W, 3): one pass from its planes to small RGB."""
        assert self._orientation is not None
        row[:] = rgb_picture(
            self.path,
            frame,
            (row.shape[0], row.shape[1]),
            orientation=self._orientation,
            reformatter=self._reformatter,
        )


def _seconds(timestamps: Sequence[int], time_base: Any) -> np.ndarray:
    times = np.array(timestamps, np.float64)
    return times * time_base.numerator / time_base.denominator
