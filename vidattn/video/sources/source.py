"""What a source of a video promises, and what one that was found promises."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from vidattn.errors import VideoError
from vidattn.heartbeat import beat
from vidattn.video.limits import Limits

# Bytes of the content from an offset on; fewer than asked for only at its end.
ReadAt = Callable[[int, int], bytes]
# What FFmpeg asks of Python at a time.
BUFFER_BYTES = 2**18


class VideoSource(ABC):
    """Where one video is: its address, and the right to read it.

    A source is small, opens nothing by itself, and can be sent to another process, except for an
    open file. `str` of it is the address, which names the video in results and messages.
    """

    @abstractmethod
    def __str__(self) -> str:
        """The address, as the caller named it."""

    @property
    def file_name(self) -> str:
        """The name of the video without what it lies in, such as "clip.mp4"."""
        return str(self).rpartition("/")[2]

    @abstractmethod
    def find(self, limits: Limits) -> SourceContent:
        """The bytes as they are now.

        Args:
            limits: how much may be copied of a source that cannot be read in parts.

        Raises:
            VideoNotFoundError: there is nothing, or it may not be read.
            NotAVideoError: it is empty, or cannot hold a video.
            UnsafePathError: a playlist, or an address that leads elsewhere.
            LimitError: it would have to be copied, and is too large for that.
            InputOutputError: the disk or the network failed.
        """


class SourceContent(ABC):
    """The bytes of a source, as they were when it was found; safe to read from several threads.

    Attributes:
        name: the address, for messages.
        file_name: see `VideoSource`.
        size: in bytes.
        version: what differs once the content is another, though its size may be the same; None
            if that cannot be told.
    """

    name: str
    file_name: str
    size: int
    version: str | None

    @abstractmethod
    def read_at(self, offset: int, size: int) -> bytes:
        """So many bytes from an offset on; fewer only at the end.

        Raises:
            InputOutputError: the disk or the network failed.
            DecodeError: the content has changed since it was found.
        """

    @contextmanager
    def reading(self) -> Iterator[ReadAt]:
        """`read_at` for many small parts, one after the other."""
        yield self.read_at

    def check_unchanged(self) -> None:  # noqa: B027 - bytes in memory do not change
        """Raise `DecodeError` if the content is known to have changed since it was found."""

    def close(self) -> None:  # noqa: B027 - most contents hold nothing open
        """Let go of what is held open. Closing twice is harmless."""

    def for_ffmpeg(self) -> str | ContentStream:
        """What FFmpeg opens: the absolute path of a file, or a stream of the bytes."""
        return ContentStream(self)


class ContentStream(io.RawIOBase):
    """A position in a content, as FFmpeg reads it through PyAV.

    A failure is raised once, and the content seems to end there: FFmpeg reads on after an error.

    Attributes:
        name: all that FFmpeg hears of the address. It guesses the container of some raw streams
            by the ending of the name.
        failure: what was raised, if anything was.
    """

    def __init__(self, content: SourceContent) -> None:
        super().__init__()
        self._content = content
        self._position = 0
        self._held = ExitStack()
        self._read_at: ReadAt | None = None
        self.name = f"video{_harmless_ending(content.file_name)}"
        self.failure: VideoError | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes; none at the end."""
        if self.failure is not None:
            return b""
        if size < 0:
            size = self._content.size - self._position
        try:
            if self._read_at is None:
                self._read_at = self._held.enter_context(self._content.reading())
            data = self._read_at(self._position, size)
        except VideoError as error:
            self.failure = error
            raise
        beat()
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, also beyond the end, where nothing is read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.size}
        position = start[whence] + offset
        if position < 0:
            raise OSError(f"expected a position of 0 or more, got {position}")
        self._position = position
        return position

    def tell(self) -> int:
        """The position."""
        return self._position

    def close(self) -> None:
        """Let go of what the content holds open for this stream."""
        self._held.close()
        super().close()


def _harmless_ending(name: str) -> str:
    """The ending of a file's name, if it is one; it names no protocol and no pattern."""
    _, dot, ending = name.rpartition(".")
    return f".{ending}" if dot and ending.isascii() and ending.isalnum() else ""
