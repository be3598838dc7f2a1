from __future__ import annotations

import os
from collections import deque
from collections.abc import Container, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import ArgumentError, DecodeError
from vidattn.heartbeat import beat
from vidattn.video.decoding.complaints import LOG_ONLY, decoded
from vidattn.video.decoding.forks import outlive_forks
from vidattn.video.decoding.references import unreferred_test
from vidattn.video.limits import Limits
from vidattn.video.packets.demuxer import (
    FRAME_THREADED,
    SALVAGE,
    decode_in_threads,
    open_container,
    typed_errors,
)
from vidattn.video.packets.index import MISSING, PacketTable
from vidattn.video.packets.index_cache import load_table
from vidattn.video.packets.mp4_table import read_mp4_table

# To a key packet this near one reads on: seeking takes as long as reading so many packets.
_NEAR = 24


class DecodingCursor:
    """One decoder in one open file: a place in the packets, and the frames that come from there.

    Args:
        path: as the caller named it, for messages.
        file: absolute.
        limits: what the file may ask for.

    Attributes:
        path: see above.
        position: of the next packet to be decoded, in decoding order.
        emitted: frames handed out since the last rewind or seek.
        owed: packets decoded since then whose frames have not been handed out; without those that
            are shown before the key frame where it began, of which decoders give none.
        sought: whether it came here by a seek, not from the beginning.
        last_timestamp: of the last frame handed out; None after a rewind or seek.
        passed: presentation times of packets that it left out since then.
        emptied: whether its decoder was emptied before the end of the packets.
        astray: whether its place is not known, because the packets were read without the decoder
            or something ended it half-way: it must be moved first.
        table: all packets, once they were read.
        may_leave_out: whether packets tell that no other picture refers to theirs.
    """

    table: PacketTable

    def __init__(self, path: str, file: Path, limits: Limits) -> None:
        self.path = path
        self._file, self._limits = file, limits
        self._threads, self._hasty = 1, True
        self._container: Any = None
        self._stream: Any = None
        self._demuxer: Any = None
        self._packets: Any = iter(())
        self._ready: deque[Any] = deque()
        self._identity: tuple[int, ...] | None = None
        self._process, self._closed = os.getpid(), False
        self.last_timestamp: int | None = None
        outlive_forks(self)
        self.rewind()

    def twin(self) -> DecodingCursor:
        """Another cursor in the same file, with the same table."""
        other = DecodingCursor(self.path, self._file, self._limits)
        other.table = self.table
        try:
            other._check_identity(self._identity)
        except DecodeError:
            other.close()
            raise
        return other

    @property
    def container(self) -> Any:
        """The open PyAV container."""
        return self._container

    @property
    def stream(self) -> Any:
        """Its video stream."""
        return self._stream

    @property
    def decoder(self) -> Any | None:
        """PyAV's codec context; None once the file is closed."""
        return None if self._stream is None else self._stream.codec_context

    @property
    def threads(self) -> int:
        """How many frames its decoder may decode at a time."""
        return self._threads

    def use_threads(self, count: int) -> None:
        """Set `threads`, for this decoder if it has not been used yet, and for later ones.

        It stays 1 where the codec's decoder gains nothing.
        """
        self._check_usable()
        context = self._stream.codec_context
        self._threads = count if context.name in FRAME_THREADED else 1
        if not context.is_open:
            decode_in_threads(context, self._threads)

    def rewind(self, *, thorough: bool = False) -> None:
        """Start over with a fresh decoder; some keep old pictures after their end.

        Args:
            thorough: from now on, open the file as `hasty` in `open_container` does not.

        Raises:
            NotAVideoError, LimitError: as when opening.
            DecodeError: it is closed, or the file has changed since it was opened first.
        """
        self._check_usable()
        self._release()
        self._hasty = self._hasty and not thorough
        self._container, self._stream = open_container(
            self.path, self._file, self._limits, hasty=self._hasty
        )
        try:
            self._check_identity(self._identity)
        except DecodeError:
            self._release()  # nothing of the other file may be read
            raise
        self.use_threads(self._threads)
        self._log_only = self._stream.codec_context.name in LOG_ONLY
        self._unreferred = unreferred_test(self._stream.codec_context)
        self.may_leave_out = self._unreferred is not None
        self._start()
        self.sought = self.astray = False

    def seek(self, start: int) -> None:
        """Make the key packet at decoding position `start` the next to be decoded.

        Demuxers may land after the packet that was asked for: the packets read say where it
        really is, and an earlier place is tried, at last the beginning of the file. There a
        fresh decoder starts, unless this one has not been used yet.
        """
        self._check_usable()
        if 0 <= start - self.position <= _NEAR and self._step_to(start):
            self.sought = self.sought or start > 0
            return
        keys = np.flatnonzero(self.table.keys[: start + 1])
        for key in keys[::-1][:3] if start > keys[0] or self.astray else []:
            if self._seek_to(int(key), start):
                self.sought = start > keys[0]
                return
        self.rewind()

    def scan(self) -> PacketTable:
        """The table of all packets: kept from before, in the file itself, or else read now."""
        kept = load_table(self._file)
        if kept is None and self._container.format.name.startswith("mov"):
            kept = read_mp4_table(self._file, self._stream, self._limits)
        if kept is not None:
            self._limits.check_packets(self.path, len(kept))
            self.table = kept
        else:
            self.table = PacketTable.scan(self.path, self._container, self._stream, self._limits)
            self.astray = True
        return self.table

    def next_frame(
        self, wanted: Container[int] | None = None, *, last: int | None = None
    ) -> Any | None:
        """The next frame the decoder gives, in presentation order, or None at the end.

        Args:
            wanted: presentation times; frames of others are left out where no picture refers
                to them, which changes no pixel of the rest. None for all frames.
            last: position of the last packet that may be decoded: behind it the decoder gives
                what it still holds, and is then spent. None to read on.

        Raises:
            DecodeError: the decoder refuses a packet, or says that the picture is damaged; the
                cursor must then be moved.
            LimitError: the frame is larger than allowed.
            ArgumentError: another process opened the file.
        """
        self._check_usable()
        self._decode(0, wanted, last)
        if not self._ready:
            return None
        self.astray = True  # stays so if this is interrupted
        frame = self._ready.popleft()
        self._limits.check_size(self.path, frame.height, frame.width)
        self.emitted += 1
        self.owed -= self._counts(frame)
        self.last_timestamp = frame.pts
        self.astray = False
        return frame

    def look_ahead(self, time: int, wanted: Container[int] | None) -> Iterator[Any]:
        """The frames up to the first one that is shown at `time` or later.

        They will be handed out all the same.

        Args:
            wanted: see `next_frame`.
        """
        seen = 0
        while True:
            self._decode(seen, wanted, None)
            if seen == len(self._ready):
                return
            yield self._ready[seen]
            if self._ready[seen].pts is not None and self._ready[seen].pts >= time:
                return
            seen += 1

    def close(self) -> None:
        """Close the file for good; a forked process lets go of what it inherited as it is."""
        self._release()
        self._stream, self._closed = None, True

    def _release(self) -> None:
        self._ready = deque()
        if self._process == os.getpid():
            self._stop_reading()
            if self._container is not None:
                # Threads are at rest then, and need nothing that who waits for their end may hold.
                self._stream.codec_context.flush_buffers()
                self._container.close()
        self._container, self._demuxer, self._packets = None, None, iter(())

    @property
    def spent(self) -> bool:
        """Whether the decoder is at its end or has failed, so that it gives no more frames."""
        return self._drained and not self._ready

    def _start(self) -> None:
        self._stop_reading()
        self._demuxer = self._packets = self._container.demux(self._stream)
        self.position = 0
        self._start_decoder()

    def _start_decoder(self) -> None:
        self._ready = deque()
        self._drained = self.emptied = False
        self.emitted = self.owed = 0
        self._begin = MISSING
        self.last_timestamp = None
        self.passed: set[int] = set()

    def _check_identity(self, expected: tuple[int, ...] | None) -> None:
        with typed_errors(self.path, "cannot be found again"):
            status = self._file.stat()
        found = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        self._identity = self._identity or found
        if expected is not None and expected != found:
            raise DecodeError(self.path, "the file has changed since it was opened")

    def _check_usable(self) -> None:
        if self._closed:
            raise DecodeError(self.path, "the reader is closed")
        if self._process != os.getpid():
            raise ArgumentError(
                f"{self.path}: another process opened this reader; open it inside the worker"
            )

    def _stop_reading(self) -> None:
        """End the demuxer's generator: PyAV leaks memory of one that is dropped before its end."""
        self._packets = iter(())
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None

    def _decode(self, count: int, wanted: Container[int] | None, last: int | None) -> None:
        """Decode packets until more than `count` frames are ready, or the decoder is at its end."""
        if len(self._ready) > count or self._drained:
            return
        self.astray = True  # stays so if the decoder fails, or is interrupted
        with typed_errors(
            self.path, lambda: f"cannot decode packet {self.position}", advice=SALVAGE
        ):
            while len(self._ready) <= count and not self._drained:
                if last is not None and self.position > last:
                    self._drain()
                else:
                    self._decode_one(wanted)
        self.astray = False

    def _decode_one(self, wanted: Container[int] | None) -> None:
        beat()
        packet = next(self._packets, None)
        if packet is None:
            self._drained = True
        elif wanted is not None and packet.pts not in wanted and self._left_out(packet):
            self.passed.add(packet.pts)
        else:
            # Some decoders patch what the end of the file has cut off without a complaint. In
            # transport streams the mark may only say that another recording follows.
            if packet.is_corrupt and self._container.format.name != "mpegts":
                raise DecodeError(
                    self.path, f"packet {self.position} is incomplete in the file; {SALVAGE}"
                )
            if packet.size and not packet.is_discard:
                self.owed += self._counts(packet)
            self._drained = True  # stays so if the decoder fails
            self._ready.extend(decoded(packet) if self._log_only else packet.decode())
            self._drained = packet.size == 0 and packet.dts is None
        self.position += 1

    def _counts(self, packet_or_frame: Any) -> bool:
        time = packet_or_frame.pts
        return time is not None and time >= self._begin

    def _left_out(self, packet: Any) -> bool:
        return packet.pts is not None and self._unreferred is not None and self._unreferred(packet)

    def _drain(self) -> None:
        self._drained = self.emptied = True
        self._ready.extend(self._stream.codec_context.decode(None))

    def _step_to(self, start: int) -> bool:
        """Read on to a key packet not far ahead, and start the decoder afresh there."""
        if self.astray or (self.spent and not self.emptied):
            return False
        self.astray = True
        self._stream.codec_context.flush_buffers()
        self._start_decoder()
        try:
            with typed_errors(self.path, "cannot read its packets"):
                return self._read_on(start)
        except DecodeError:
            return False

    def _read_on(self, start: int) -> bool:
        for _ in range(start - self.position):
            next(self._packets, None)
        packet = next(self._packets, None)
        if packet is None or self.table.place_of(packet) != start:
            return False
        self._begin_at(packet, start)
        return True

    def _seek_to(self, key: int, start: int) -> bool:
        table = self.table
        # By decoding time, files in which that is shifted would be entered a group too early.
        times = table.presentation if table.presentation[key] != MISSING else table.decoding
        if self.spent and not self.emptied:
            self.rewind()
        self.astray = True
        try:
            with typed_errors(self.path, "cannot seek"):
                self._container.seek(int(times[key]), stream=self._stream)
            self._start()
            return self._skip_to(start)
        except DecodeError:  # no seeking in this file: the caller starts from its beginning
            return False

    def _skip_to(self, start: int) -> bool:
        """Read packets without decoding them until the next one is `start`; False if past it."""
        with typed_errors(self.path, "cannot read its packets"):
            return self._found(start)

    def _found(self, start: int) -> bool:
        for packet in self._packets:
            beat()
            place = self.table.place_of(packet)
            if place == start:
                self._begin_at(packet, start)
                return True
            if place is not None and place > start:
                return False
        return False

    def _begin_at(self, packet: Any, start: int) -> None:
        self._packets = chain([packet], self._packets)
        self.position, self._begin = start, int(self.table.presentation[start])
        self.astray = False
