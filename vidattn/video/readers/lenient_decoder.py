from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.logging

from vidattn.errors import InputOutputError, LimitError
from vidattn.heartbeat import beat
from vidattn.video.decoding.complaints import errors_of
from vidattn.video.limits import Limits
from vidattn.video.packets.demuxer import open_container
from vidattn.video.packets.index import PacketRow, packet_row
from vidattn.video.sources.source import SourceContent

# What decoders are asked to check besides; none of it refuses a stream that is whole.
_CHECKS = "crccheck+bitstream+buffer+careful"
# Reads in a row that may fail before the rest of a file is given up.
_ATTEMPTS = 16
# FFmpeg's own VP9 decoder does not notice damage within a picture; this one does, mostly.
_SECOND_OPINIONS = {"vp9": "libvpx-vp9"}
# Their decoders complain of a packet's own bits alone; others also of references that are missing.
_OWN_COMPLAINTS = {"mpeg1video", "mpeg2video", "mpeg4", "h263", "flv", "wmv1", "wmv2", "mjpeg"}


class LenientDecoder:
    """Decodes a whole file whatever is broken in it, and says for each packet what was.

    The decoder is emptied and started afresh at the key packet behind each damage, so that
    nothing of the damage is carried on: `restarts` are those packets.

    Args:
        content: of the file.
        limits: what the file may ask for.
        restarts: of an earlier pass over the same file, to decode the same again without
            looking for damage; None to look for it.

    Attributes:
        rows: what the demuxer said of each packet read so far.
        damage: packet position -> what is wrong with the packet, as was found so far.
        losses: packet position -> what is wrong with the file before the packet.
        noticed: positions where the decoder found damage that is no consequence of other: it may
            have begun in the packet before, and go on in the one behind.
        restarts: see above.
    """

    def __init__(
        self,
        content: SourceContent,
        limits: Limits,
        *,
        restarts: Container[int] | None = None,
    ) -> None:
        self._path, self._limits = content.name, limits
        self._container, self._stream = open_container(content, limits)
        context = self._stream.codec_context
        context.copy_opaque = True  # frames then name their packets
        context.options = {**context.options, "err_detect": _CHECKS}
        self._known_restarts = restarts
        self._second = self._second_opinion() if restarts is None else None
        self._packets: Any = self._container.demux(self._stream)
        self._dirty = False  # damage since the last restart
        self._oldest = 0  # the last restart
        self.rows: list[PacketRow] = []
        self.damage: dict[int, str] = {}
        self.losses: dict[int, str] = {}
        self.noticed: set[int] = set()
        self.restarts: list[int] = []

    @property
    def container(self) -> Any:
        """The open PyAV container."""
        return self._container

    @property
    def stream(self) -> Any:
        """Its video stream."""
        return self._stream

    def frames(self) -> Iterator[tuple[int, Any]]:
        """(position of its packet, frame) of every frame that comes out, in the decoder's order.

        Release each before asking for the next.

        Raises:
            LimitError: too many packets, or a frame that is too large.
        """
        while (packet := self._next_packet()) is not None:
            position = len(self.rows)
            self.rows.append(packet_row(packet))
            self._limits.check_packets(self._path, len(self.rows))
            if self._restarts_here(position, packet):
                self.restarts.append(position)
                yield from self._given(self._emptied(), position)
                self._restart(position)
            yield from self._given(self._decoded(packet, position), position)
        yield from self._given(self._emptied(), len(self.rows) - 1)

    def close(self) -> None:
        """Close the file."""
        self._packets.close()  # PyAV leaks memory of one that is dropped before its end
        self._second = None
        self._container.close()

    def _next_packet(self) -> Any | None:
        beat()
        for _ in range(_ATTEMPTS):
            try:
                with self._captured() as messages:
                    packet = next(self._packets, None)
            except InputOutputError:
                raise
            except Exception as error:  # PyAV raises what it likes on damaged files
                self._lose(f"cannot be read: {error}")
                self._packets.close()
                self._packets = self._container.demux(self._stream)
                continue
            if messages:
                self._lose(messages[0])
            if packet is None or (packet.size == 0 and packet.dts is None):
                return None
            return packet
        return None

    def _lose(self, reason: str) -> None:
        self.losses.setdefault(len(self.rows), reason)
        self._dirty = True

    def _harm(self, position: int, reason: str) -> None:
        self.damage.setdefault(position, reason)
        self._dirty = True

    def _is_fresh(self) -> bool:
        """Whether what the decoder says now is no consequence of damage that is known."""
        return not self._dirty or self._stream.codec_context.name in _OWN_COMPLAINTS

    def _restarts_here(self, position: int, packet: Any) -> bool:
        if self._known_restarts is not None:
            return position in self._known_restarts
        return self._dirty and bool(packet.is_keyframe) and position > 0

    def _restart(self, position: int) -> None:
        self._stream.codec_context.flush_buffers()
        # What lies beside noticed damage is not trusted: the next key packet must confirm.
        self._dirty = position - 1 in self.noticed
        self._oldest = position

    def _decoded(self, packet: Any, position: int) -> list[Any]:
        packet.opaque = [position]  # an object of its own: PyAV knows them by identity
        if packet.is_corrupt:
            self._harm(position, "the packet is incomplete")
        frames: list[Any] = []
        known, fresh = position in self.damage, self._is_fresh()
        with self._captured() as messages:
            try:
                frames = packet.decode()
            except Exception as error:
                _check_limit(self._path, error)
                messages.append(_text(error))
        if messages:
            self._harm(position, messages[0])
        if not known and self._second is not None:
            self._ask_second(packet, position)
        if fresh and not known and position in self.damage:
            self.noticed.add(position)
        return frames

    def _emptied(self) -> list[Any]:
        with self._captured() as messages:
            try:
                return self._stream.codec_context.decode(None)
            except Exception as error:
                _check_limit(self._path, error)
                messages.append(_text(error))
        self._harm(len(self.rows) - 1, messages[0])
        return []

    def _given(self, frames: list[Any], position: int) -> Iterator[tuple[int, Any]]:
        for place, frame in enumerate(frames):
            frames[place] = None  # the caller releases each before asking for the next
            self._limits.check_size(self._path, frame.height, frame.width)
            source = position if frame.opaque is None else frame.opaque[0]
            if (frame.is_corrupt or frame.opaque is None) and source not in self.damage:
                if self._is_fresh():
                    self.noticed.add(source)
                self._harm(source, "the decoder marks the picture as damaged")
            if source >= self._oldest:  # some decoders keep an old picture over a restart
                yield source, frame
            del frame

    def _second_opinion(self) -> Any | None:
        name = _SECOND_OPINIONS.get(self._stream.codec_context.name)
        if name is None or name not in av.codecs_available:
            return None
        second = av.CodecContext.create(name, "r")
        second.thread_count = 1
        second.options = {"max_pixels": str(2 * self._limits.maximum_pixels + 2**16)}
        return second

    def _ask_second(self, packet: Any, position: int) -> None:
        assert self._second is not None
        try:
            with self._captured():
                self._second.decode(packet)
        except Exception as error:
            if position == 0:
                self._second = None  # not a stream that it knows, or damaged from the start
            else:
                self._harm(position, _text(error))

    @contextmanager
    def _captured(self) -> Iterator[list[str]]:
        """What FFmpeg says meanwhile is wrong."""
        if self._known_restarts is not None:
            yield []
            return
        messages: list[str] = []
        with av.logging.Capture() as entries:
            yield messages
        messages[:0] = errors_of(entries)


def _check_limit(path: str, error: BaseException) -> None:
    """Raise the typed error where a decoder refused a picture for its size."""
    if "max pixel count" in str(error):
        raise LimitError(path, "a frame has more pixels than allowed") from error


def _text(error: BaseException) -> str:
    log = getattr(error, "log", None)
    return log[2].strip() if log else getattr(error, "strerror", None) or str(error)
