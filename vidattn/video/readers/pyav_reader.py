from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import repeat
from typing import Any

import av
import numpy as np

from vidattn.errors import ArgumentError, DecodeError
from vidattn.video.decoding import timing
from vidattn.video.decoding.cursor import DecodingCursor
from vidattn.video.decoding.frame_count import FrameCount
from vidattn.video.decoding.frame_search import DoubtError, FrameSearch
from vidattn.video.decoding.orientation import Orientation
from vidattn.video.decoding.packet_source import PacketSource
from vidattn.video.decoding.picture import RgbConverter, RgbRows, ShownSize
from vidattn.video.decoding.picture_kinds import evidence_of_frames
from vidattn.video.decoding.plan import fair_shares
from vidattn.video.decoding.threads import available_threads
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.metadata import VideoMetadata
from vidattn.video.packets.evidence import PacketEvidence
from vidattn.video.packets.index import FrameIndex, PacketTable, suspicion
from vidattn.video.packets.index_cache import store_table
from vidattn.video.readers.indexed_reader import IndexedReader
from vidattn.video.sources.addresses import VideoLike, as_source

# Frames whose conversion takes longer than starting a thread for it.
_WORTH_A_THREAD = 8
# Packets a key packet from which on one decoder gains by threads.
_LONG_GROUPS = 4


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
        video: see `vidattn.open_video`.
        limits: what the file may ask for.
        threads: how many decoder threads there is work for at a time; None for
            `available_threads`. Groups of pictures that lie apart are decoded side by side, frames
            of one group overlap; more threads may exist, which wait for others' pictures.

    Attributes:
        full_decode_reason: why the packets were not trusted; None where they were.
        damage: what the decoder refused while it counted; None where it refused nothing. The
            frames that the packets promise count in `len`, and asking for them raises.
        stream_index: which of the file's streams this is.
        container_format: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        packet_table: what its packets say.

    Raises:
        VideoNotFoundError, NotAVideoError, UnsafePathError, LimitError: as they say.
        ArgumentError: fewer threads than one.
        DecodeError: its packets cannot be read, or no frame can be decoded.
    """

    def __init__(
        self,
        video: VideoLike,
        *,
        limits: Limits = DEFAULT_LIMITS,
        threads: int | None = None,
    ) -> None:
        self.source = as_source(video)
        self.path = str(self.source)
        self.decoder = f"pyav {av.__version__}"
        self._limits = limits
        self._threads = available_threads() if threads is None else threads
        if self._threads < 1:
            raise ArgumentError(f"threads: expected at least 1, got {threads}")
        self._converters = [RgbConverter() for _ in range(self._threads)]
        self._shown = ShownSize(self.path)
        self.damage: str | None = None
        self._promised = 0  # frames that its packets promise, and no decoder gives
        self._previous: int | None = None
        self._helpers: dict[int, FrameSearch] = {}
        self._content = self.source.find(limits)
        self._held = ExitStack()
        self._held.callback(self._content.close)
        try:
            self._cursor = DecodingCursor(PacketSource(self._content, limits))
            self._held.callback(self._cursor.close)
            self._read_index()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as shown; decodes the first frame where none was yet."""
        if self._shown.size is None:
            first = np.zeros(1, np.int64)
            self._read(0, [0], RgbRows(self.path, self._shown, first, None), 0)
        assert self._shown.size is not None
        return self._shown.size

    @property
    def orientation(self) -> Orientation:
        """How the stored picture is turned to be shown; applied already."""
        self.size  # noqa: B018 - learns it from the first frame
        assert self._shown.orientation is not None
        return self._shown.orientation

    @property
    def sample_aspect_ratio(self) -> float:
        """Width of a pixel over its height: the container's, or else the decoder's."""
        self._check_open()
        self.size  # noqa: B018 - decodes a frame
        stream = self._cursor.source.stream
        return float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)

    @property
    def metadata(self) -> VideoMetadata:
        """As the interface says."""
        orientation = self.orientation
        return replace(
            super().metadata,
            codec=self.codec,
            container=self.container_format,
            quarter_turns=orientation.quarter_turns,
            mirrored=orientation.mirrored,
            sample_aspect_ratio=self.sample_aspect_ratio,
            full_decode_reason=self.full_decode_reason,
            damage=self.damage,
            packet_count=len(self.packet_table),
            declared_frames=self._declared_frames,
        )

    @property
    def missing_end(self) -> str | None:
        """As the interface says."""
        return self.damage if self.damage is not None and self._promised == 0 else None

    def keep_packet_table(self) -> None:
        """As the interface says."""
        store_table(self._content, self.packet_table)

    def packet_evidence(self) -> PacketEvidence:
        """See `vidattn.video.packet_evidence`."""
        self._check_open()
        source = self._cursor.source
        return evidence_of_frames(source.twin(), self.packet_table, self._seconds)

    def close(self) -> None:
        """Release the file; asking for frames afterwards is an error."""
        self._closed = True
        self._held.close()

    # -- opening ---------------------------------------------------------------------------

    def _read_index(self) -> None:
        cursor = self._cursor
        stream, container = cursor.source.stream, cursor.source.container
        time_base = stream.time_base
        self.stream_index = stream.index
        self.container_format = container.format.name
        self.codec = stream.codec_context.name
        self._declared_frames = stream.frames
        declared_rate = float(stream.average_rate or stream.guessed_rate or 0)
        self.packet_table = table = cursor.scan()
        self.full_decode_reason = suspicion(table, container, stream)
        if self.full_decode_reason is None:
            last = self._trust_packets(cursor, table)
        else:
            last = self._count_frames(cursor, table, 1 / (declared_rate or 25.0))
        tail = float(int(table.durations[last]) * time_base)
        self.fps = timing.frame_rate(self._seconds, declared_rate)
        self.duration_seconds = timing.duration_seconds(self._seconds, tail, self.fps)
        self._limits.check_seconds(self.path, self.duration_seconds)

    def _trust_packets(self, cursor: DecodingCursor, table: PacketTable) -> int:
        """Frames are what the packets say; position of the packet that is shown last."""
        self._index: FrameIndex | None = FrameIndex.build(table)
        self._seconds = timing.in_seconds(self._index.timestamps, cursor.source.stream.time_base)
        self._keys = np.flatnonzero(table.keys[self._index.packets])
        if len(table) >= _LONG_GROUPS * len(self._keys):
            cursor.use_threads(self._threads)
        self._source: FrameSearch | FrameCount = FrameSearch(cursor, self._index)
        return int(self._index.packets[-1])

    def _count_frames(self, cursor: DecodingCursor, table: PacketTable, step: float) -> int:
        """Frames are those that a decoder gives; position of the packet that is shown last."""
        self._index = None
        counted = FrameCount(cursor, self._shown.learn)
        self.damage = counted.damage
        self.timestamps_made_up = None in counted.times
        # Complete packets promise frames, where the decoder refused one of them; what the end of
        # the file cuts off promises none.
        if counted.damage is not None and not table.damaged.any():
            self._promised = max(int((~table.discarded).sum()) - len(counted.times), 0)
        seconds = timing.filled(counted.times, step, self._promised)
        self._seconds = timing.in_shown_order(seconds, self.container_format)
        self._keys = np.array(counted.keys, np.int64)
        self._source = counted
        return int(table.presentation.argmax())

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
        rows = RgbRows(self.path, self._shown, indices, short_side)
        positions = rows.positions
        read_on = self._is_going_on(positions)
        shares = [positions] if read_on else self._shares(positions)
        if len(shares) == 1:
            overlapping = self._threads > 1 and len(positions) >= _WORTH_A_THREAD
            self._read(0, positions, rows, 0, read_on=read_on, overlapping=overlapping)
        else:
            firsts = np.cumsum([0, *map(len, shares)]).tolist()
            with ThreadPoolExecutor(len(shares)) as pool:
                list(pool.map(self._read, range(len(shares)), shares, repeat(rows), firsts))
        return rows.pixels()

    def decoded_frames(self, positions: Sequence[int]) -> Iterator[Any]:
        """Frames as one decoder thread gives them (`av.VideoFrame`): native planes, not turned.

        Between the first wanted frame's key frame and the last wanted one, frames that are not
        wanted are decoded only if others refer to them.

        Release each before asking for the next. Decoders patch holes in damaged pictures from
        recycled memory: holding frames back changes what they find there, and so the result.

        Args:
            positions: ascending; other orders are right too, but slower.
        """
        if isinstance(self._source, FrameSearch):
            self._source.use_one_thread()
        yield from self._source.frames(positions, read_on=self._is_going_on(positions))

    def _read(
        self,
        number: int,
        positions: Sequence[int],
        rows: RgbRows,
        first: int,
        *,
        read_on: bool = False,
        overlapping: bool = False,
    ) -> None:
        """Give frames to `rows`, as those from number `first` on, by one of the decoders."""
        source = self._helper(number) if number else self._source
        converter = self._converters[number]
        take = rows.take_overlapping if overlapping and source.may_be_held else rows.take
        try:
            return take(source.frames(positions, read_on=read_on), first, converter)
        except DoubtError:
            pass  # what it holds is released before the frames are read once more
        return rows.take(source.frames(positions, read_on=read_on), first, converter)

    def _helper(self, number: int) -> FrameSearch:
        if number not in self._helpers:
            assert self._index is not None
            self._helpers[number] = FrameSearch(self._cursor.twin(), self._index)
            self._held.callback(self._helpers[number].cursor.close)
        return self._helpers[number]

    def _shares(self, positions: Sequence[int]) -> list[list[int]]:
        if self._index is None or self._threads == 1:
            return [list(positions)]
        return fair_shares(self._index, positions, self._threads)

    def _is_going_on(self, positions: Sequence[int]) -> bool:
        """Whether these frames follow closely on those of the request before.

        The next request will do the same, then: what is decoded ahead is not lost.
        """
        if self._index is None or not len(positions):
            return False
        before, self._previous = self._previous, positions[-1]
        if before is None or before >= positions[0]:
            return False
        if len(positions) == 1:
            starts = self._index.starts
            return bool(starts[positions[0]] == starts[before])
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
        return positions[0] - before <= 2 * step + 1
