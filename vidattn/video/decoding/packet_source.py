from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from vidattn.errors import ArgumentError, DecodeError, NotAVideoError
from vidattn.heartbeat import beat
from vidattn.video.decoding.forks import outlive_forks
from vidattn.video.limits import Limits
from vidattn.video.packets.demuxer import open_container
from vidattn.video.packets.index import PacketTable
from vidattn.video.packets.index_cache import load_table
from vidattn.video.packets.mp4_table import read_mp4_table
from vidattn.video.sources.source import SourceContent


class PacketSource:
    """One opening of a file: its packets in decoding order, and the decoder that belongs to it.

    It stays with the process that opened it, and with the file: one that has changed meanwhile
    is refused.

    Args:
        content: of the file.
        limits: what the file may ask for.

    Attributes:
        content, limits: see above.
        path: as the caller named it, for messages.
        container: the open PyAV container; None where none is open.
        stream: its video stream; None before the first opening and once it is closed for good.
    """

    def __init__(self, content: SourceContent, limits: Limits) -> None:
        self.container: Any = None
        self.stream: Any = None
        self.content, self.path, self.limits = content, content.name, limits
        self._hasty = True
        self._demuxer: Any = None
        self._packets: Iterator[Any] = iter(())
        self._returned: Any = None
        self._process, self._closed = os.getpid(), False
        outlive_forks(self)

    @property
    def decoder(self) -> Any | None:
        """PyAV's codec context; None once the file is closed."""
        return None if self.stream is None else self.stream.codec_context

    def check_usable(self) -> None:
        """Raise `DecodeError` once it is closed, `ArgumentError` in another process."""
        if self._closed:
            raise DecodeError(self.path, "the reader is closed")
        if self._process != os.getpid():
            raise ArgumentError(
                f"{self.path}: another process opened this reader; open it inside the worker"
            )

    def open(self, *, thorough: bool = False) -> None:
        """Open the file, again if it is open, with a decoder that has not been used.

        Args:
            thorough: from now on, open it as `hasty` in `open_container` does not.

        Raises:
            NotAVideoError, LimitError: as when opening.
            DecodeError: the file has changed since it was opened first.
        """
        self.release()
        self._hasty = self._hasty and not thorough
        try:
            self.container, self.stream = open_container(
                self.content, self.limits, hasty=self._hasty
            )
        except NotAVideoError:
            self.content.check_unchanged()  # it was a video when it was opened first
            raise
        try:
            self.content.check_unchanged()
        except DecodeError:
            self.release()  # nothing of the other file may be read
            raise

    def twin(self) -> PacketSource:
        """Another opening of the same file, which must not have changed; not yet open."""
        return PacketSource(self.content, self.limits)

    def kept_table(self) -> PacketTable | None:
        """The table of all packets where it was kept, or is in the file itself; else None."""
        table = load_table(self.content)
        if table is None and self.container.format.name.startswith("mov"):
            table = read_mp4_table(self.content, self.stream, self.limits)
        if table is not None:
            self.limits.check_packets(self.path, len(table))
        return table

    def read_table(self) -> PacketTable:
        """The table of all packets, from reading them to the end."""
        return PacketTable.scan(self.path, self.container, self.stream, self.limits)

    def seek(self, time: int) -> None:
        """Let the demuxer find the key packet at a time, or one before or behind it."""
        self.container.seek(time, stream=self.stream)

    def start(self) -> None:
        """Read packets from where the demuxer is."""
        self._stop_reading()
        self._demuxer = self._packets = self.container.demux(self.stream)

    def next_packet(self) -> Any | None:
        """The next packet; one without data behind the last, and then None."""
        beat()
        if self._returned is not None:
            packet, self._returned = self._returned, None
            return packet
        beat()
        return next(self._packets, None)

    def take_back(self, packet: Any) -> None:
        """Let this packet, which was the last one given, be the next once more."""
        self._returned = packet

    def release(self) -> None:
        """Close the file; a forked process lets go of what it inherited as it is."""
        if self._process == os.getpid():
            self._stop_reading()
            if self.container is not None:
                # Threads are at rest then, and need nothing that who waits for their end may hold.
                self.stream.codec_context.flush_buffers()
                self.container.close()
        self.container, self._demuxer = None, None
        self._packets, self._returned = iter(()), None

    def close(self) -> None:
        """Close the file for good."""
        self.release()
        self.stream, self._closed = None, True

    def _stop_reading(self) -> None:
        """End the demuxer's generator: PyAV leaks memory of one that is dropped before its end."""
        self._packets, self._returned = iter(()), None
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None
