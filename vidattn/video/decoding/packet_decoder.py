from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import Any

from vidattn.errors import DecodeError
from vidattn.video.decoding.complaints import LOG_ONLY, decoded
from vidattn.video.decoding.packet_source import PacketSource
from vidattn.video.decoding.references import unreferred_test
from vidattn.video.packets.demuxer import SALVAGE
from vidattn.video.packets.index import MISSING


class PacketDecoder:
    """The decoder of one opening of a file: packets go in, frames come out and wait in `ready`.

    Args:
        source: it is open, and its decoder has not been used.

    Attributes:
        ready: frames that came out, in presentation order.
        ended: no more frames come out: all did, or the decoder failed.
        drained: it was asked for all its frames before the end of the packets.
        pending: frames that are still to be handed out for the packets decoded since `restart`,
            without those shown before the key frame where it began: none come out for these.
        skipped: presentation times of the packets that were not decoded since `restart`.
    """

    def __init__(self, source: PacketSource) -> None:
        context = source.stream.codec_context
        self._source = source
        self._log_only = context.name in LOG_ONLY
        self._unreferred = unreferred_test(context)
        # In transport streams the mark may only say that another recording follows.
        self._marks_count = source.container.format.name != "mpegts"
        self.restart()

    def restart(self) -> None:
        """Forget all packets and frames; the decoder itself was emptied, or has not been used."""
        self.ready: deque[Any] = deque()
        self.ended = self.drained = False
        self.pending = 0
        self.skipped: set[int] = set()
        self._begin = MISSING

    def begin_at(self, time: int) -> None:
        """The first packet is a key packet that is shown at this time."""
        self._begin = time

    def take(self, packet: Any | None, position: int, wanted: Container[int] | None) -> None:
        """Decode the next packet, or leave it out.

        Args:
            packet: None at the end.
            position: its place, for messages.
            wanted: see `DecodingCursor.next_frame`.

        Raises:
            DecodeError, av.error.FFmpegError, ValueError: it is damaged.
        """
        if packet is None:
            self.ended = True
        elif wanted is not None and packet.pts not in wanted and self._left_out(packet):
            self.skipped.add(packet.pts)
        else:
            # Some decoders patch what the end of the file has cut off without a complaint.
            if packet.is_corrupt and self._marks_count:
                raise DecodeError(
                    self._source.path, f"packet {position} is incomplete in the file; {SALVAGE}"
                )
            if packet.size and not packet.is_discard:
                self.pending += self._counts(packet)
            self.ended = True  # stays so if the decoder fails
            self.ready.extend(decoded(packet) if self._log_only else packet.decode())
            self.ended = packet.size == 0 and packet.dts is None

    def drain(self) -> None:
        """Take out all frames that it still holds; it takes no packet after that."""
        self.ended = self.drained = True
        self.ready.extend(self._source.stream.codec_context.decode(None))

    def hand_out(self) -> Any:
        """The next of the frames that are ready."""
        frame = self.ready.popleft()
        self.pending -= self._counts(frame)
        return frame

    def _counts(self, packet_or_frame: Any) -> bool:
        time = packet_or_frame.pts
        return time is not None and time >= self._begin

    def _left_out(self, packet: Any) -> bool:
        return packet.pts is not None and self._unreferred is not None and self._unreferred(packet)
