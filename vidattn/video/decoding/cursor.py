from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import numpy as np

from vidattn.errors import DecodeError
from vidattn.video.decoding.packet_decoder import PacketDecoder
from vidattn.video.decoding.packet_source import PacketSource
from vidattn.video.packets.demuxer import FRAME_THREADED, SALVAGE, decode_in_threads, typed_errors
from vidattn.video.packets.index import MISSING, PacketTable

# To a key packet this near one reads on: seeking takes as long as reading so many packets.
_NEAR = 24


class DecodingCursor:
    """One decoder in one open file: a place in the packets, and the frames that come from there.

    ::

        made, rewind, seek
                │
                ▼    packet `last` was decoded           all frames handed out
             READING ─────────────────────────► DRAINED ──────────────────────► EXHAUSTED
               │ └─ the packets end, and all frames are handed out ────────────────▲
               │
               └─ the decoder fails, something interrupts it, the packets are read without it
                      │
                      ▼
                  UNPLACED

    `next_frame` and `look_ahead` go to the right and never back. `seek` and `rewind` lead from
    every state to READING, `close` from every state to the end. A seek reads on, or seeks in the
    file, with the same decoder; what failed or came to the end of the packets needs a new one,
    by `rewind`.

    Args:
        source: of the packets; it is opened, and belongs to the cursor from now on.

    Attributes:
        source: see above.
        path: of the file, as the caller named it, for messages.
        position: of the next packet to be decoded, in decoding order.
        emitted: frames handed out since the last rewind or seek.
        last_timestamp: of the last frame handed out; None after a rewind or seek.
        unplaced: its place is not known: it must be moved before anything is decoded.
        table: all packets, once `scan` was called.
    """

    table: PacketTable

    def __init__(self, source: PacketSource) -> None:
        self.source = source
        self.path = source.path
        self._threads, self.unplaced = 1, True
        self.last_timestamp: int | None = None
        source.open()
        self._begin_anew()

    def twin(self) -> DecodingCursor:
        """Another cursor in the same file, with the same table."""
        other = DecodingCursor(self.source.twin())
        other.table = self.table
        return other

    @property
    def threads(self) -> int:
        """How many frames its decoder may decode at a time."""
        return self._threads

    @property
    def drained(self) -> bool:
        """Whether the decoder was asked for all its frames before the end of the packets."""
        return self._decoder.drained

    @property
    def exhausted(self) -> bool:
        """Whether the decoder is at its end or has failed, so that it gives no more frames."""
        return self._decoder.ended and not self._decoder.ready

    @property
    def pending(self) -> int:
        """Frames of decoded packets that were not handed out; see `PacketDecoder`."""
        return self._decoder.pending

    def use_threads(self, count: int) -> None:
        """Set `threads`, for this decoder if it has not been used yet, and for later ones.

        It stays 1 where the codec's decoder gains nothing.
        """
        self.source.check_usable()
        context = self.source.stream.codec_context
        self._threads = count if context.name in FRAME_THREADED else 1
        if not context.is_open:
            decode_in_threads(context, self._threads)

    def rewind(self, *, thorough: bool = False) -> None:
        """Start over with a fresh decoder; some keep old pictures after their end.

        Args:
            thorough: see `PacketSource.open`.

        Raises:
            NotAVideoError, LimitError: as when opening.
            DecodeError: it is closed, or the file has changed since it was opened first.
        """
        self.source.check_usable()
        self._decoder.ready.clear()  # frames go before their decoder
        self.source.open(thorough=thorough)
        self._begin_anew()

    def seek(self, start: int) -> None:
        """Make the key packet at decoding position `start` the next to be decoded.

        Demuxers may land after the packet that was asked for: the packets read say where it
        really is, and an earlier place is tried, at last the beginning of the file. There a
        fresh decoder starts, unless this one has not been used yet.
        """
        self.source.check_usable()
        if 0 <= start - self.position <= _NEAR and self._step_to(start):
            return
        keys = np.flatnonzero(self.table.keys[: start + 1])
        for key in keys[::-1][:3] if start > keys[0] or self.unplaced else []:
            if self._seek_to(int(key), start):
                return
        self.rewind()

    def must_move(self, time: int, start: int, packet: int) -> bool:
        """Whether `next_frame` cannot come to a frame from here, or only by a detour.

        Args:
            time: when the frame is shown.
            start: position of the packet where decoding of its group begins.
            packet: position of its own packet.
        """
        handed_out = self.last_timestamp is not None and self.last_timestamp >= time
        return (
            self.unplaced
            or self.exhausted
            or handed_out
            or (self.drained and self.position <= packet)
            or start > self.position
            or time in self._decoder.skipped
        )

    def scan(self) -> PacketTable:
        """The table of all packets: kept from before, in the file itself, or else read now."""
        kept = self.source.kept_table()
        self.table = self.source.read_table() if kept is None else kept
        self.unplaced = self.unplaced or kept is None
        return self.table

    def next_frame(
        self, wanted: Container[int] | None = None, *, last: int | None = None
    ) -> Any | None:
        """The next frame the decoder gives, in presentation order, or None at the end.

        Args:
            wanted: presentation times; frames of others are left out where no picture references
                them, which changes no pixel of the rest. None for all frames.
            last: position of the last packet that may be decoded: behind it the decoder gives
                what it still holds, and is then exhausted. None to read on.

        Raises:
            DecodeError: the decoder refuses a packet, or says that the picture is damaged; the
                cursor must then be moved.
            LimitError: the frame is larger than allowed.
            ArgumentError: another process opened the file.
        """
        self.source.check_usable()
        self._decode(0, wanted, last)
        if not self._decoder.ready:
            return None
        self.unplaced = True  # stays so if this is interrupted
        frame = self._decoder.hand_out()
        self.source.limits.check_size(self.path, frame.height, frame.width)
        self.emitted += 1
        self.last_timestamp = frame.pts
        self.unplaced = False
        return frame

    def look_ahead(self, time: int, wanted: Container[int] | None) -> Iterator[Any]:
        """The frames up to the first one that is shown at `time` or later.

        They will be handed out all the same.

        Args:
            wanted: see `next_frame`.
        """
        decoder, seen = self._decoder, 0
        while True:
            self._decode(seen, wanted, None)
            if seen == len(decoder.ready):
                return
            yield decoder.ready[seen]
            if decoder.ready[seen].pts is not None and decoder.ready[seen].pts >= time:
                return
            seen += 1

    def close(self) -> None:
        """Close the file for good; a forked process lets go of what it inherited as it is."""
        self._decoder.ready.clear()
        self.source.close()

    # -- decoding --------------------------------------------------------------------------

    def _decode(self, count: int, wanted: Container[int] | None, last: int | None) -> None:
        """Decode packets until more than `count` frames are ready, or the decoder is at its end."""
        decoder = self._decoder
        if len(decoder.ready) > count or decoder.ended:
            return
        self.unplaced = True  # stays so if the decoder fails, or is interrupted
        with typed_errors(
            self.path, lambda: f"cannot decode packet {self.position}", advice=SALVAGE
        ):
            while len(decoder.ready) <= count and not decoder.ended:
                if last is not None and self.position > last:
                    decoder.drain()
                else:
                    decoder.take(self.source.next_packet(), self.position, wanted)
                    self.position += 1
        self.unplaced = False

    # -- moving ----------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        self.use_threads(self._threads)
        self._decoder = PacketDecoder(self.source)
        self._start()
        self.unplaced = False

    def _start(self) -> None:
        self.source.start()
        self.position = 0
        self._start_decoder()

    def _start_decoder(self) -> None:
        self._decoder.restart()
        self.emitted = 0
        self.last_timestamp = None

    def _step_to(self, start: int) -> bool:
        """Read on to a key packet not far ahead, and start the decoder afresh there."""
        if self.unplaced or (self.exhausted and not self.drained):
            return False
        self.unplaced = True
        self.source.stream.codec_context.flush_buffers()
        self._start_decoder()
        try:
            with typed_errors(self.path, "cannot read its packets"):
                return self._read_on(start)
        except DecodeError:
            return False

    def _read_on(self, start: int) -> bool:
        for _ in range(start - self.position):
            self.source.next_packet()
        packet = self.source.next_packet()
        if packet is None or self.table.place_of(packet) != start:
            return False
        self._begin_at(packet, start)
        return True

    def _seek_to(self, key: int, start: int) -> bool:
        table = self.table
        # By decoding time, files in which that is shifted would be entered a group too early.
        times = table.presentation if table.presentation[key] != MISSING else table.decoding
        if self.exhausted and not self.drained:
            self.rewind()
        self.unplaced = True
        try:
            with typed_errors(self.path, "cannot seek"):
                self.source.seek(int(times[key]))
            self._start()
            return self._skip_to(start)
        except DecodeError:  # no seeking in this file: the caller starts from its beginning
            return False

    def _skip_to(self, start: int) -> bool:
        """Read packets without decoding them until the next one is `start`; False if past it."""
        with typed_errors(self.path, "cannot read its packets"):
            return self._found(start)

    def _found(self, start: int) -> bool:
        while (packet := self.source.next_packet()) is not None:
            place = self.table.place_of(packet)
            if place == start:
                self._begin_at(packet, start)
                return True
            if place is not None and place > start:
                return False
        return False

    def _begin_at(self, packet: Any, start: int) -> None:
        self.source.take_back(packet)
        self.position = start
        self._decoder.begin_at(int(self.table.presentation[start]))
        self.unplaced = False
