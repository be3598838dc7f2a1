from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, BinaryIO

from vidattn.errors import (
    ArgumentError,
    InputOutputError,
    NotAVideoError,
    VideoError,
)
from vidattn.files import is_trouble
from vidattn.video.limits import Limits
from vidattn.video.sources.paths import refuse_playlist
from vidattn.video.sources.source import SourceContent, VideoSource

_COPY_BYTES = 2**20
# Of a copy; what is more lies in a temporary file.
_IN_MEMORY_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class InMemory(VideoSource):
    """A video whose bytes are in memory.

    Attributes:
        data: the bytes of the whole file.
        name: the address, for messages; "" where it has none.
    """

    data: bytes | bytearray | memoryview
    name: str = ""

    def __str__(self) -> str:
        return self.name or f"video in memory ({len(memoryview(self.data).cast('B'))} bytes)"

    def find(self, limits: Limits) -> MemoryContent:
        """See `VideoSource.find`."""
        content = MemoryContent(str(self), self.file_name, memoryview(self.data).cast("B"))
        if not content.size:
            raise NotAVideoError(content.name, "there is no content (zero bytes)")
        refuse_playlist(content.name, content.read_at(0, 4096))
        return content


class MemoryContent(SourceContent):
    """Bytes in memory, which nobody changes meanwhile."""

    def __init__(self, name: str, file_name: str, data: memoryview) -> None:
        self.name, self.file_name, self.size = name, file_name, len(data)
        self._data = data

    @cached_property
    def version(self) -> str:  # type: ignore[override]
        """A digest of all bytes."""
        return hashlib.blake2b(self._data, digest_size=16).hexdigest()

    def read_at(self, offset: int, size: int) -> bytes:
        """See `SourceContent.read_at`."""
        return self._data[offset : offset + size].tobytes()


@dataclass(frozen=True, eq=False)
class OpenFile(VideoSource):
    """A binary file that the caller has opened; it is read from its beginning, and stays open.

    What cannot seek, such as a pipe or a response of a server, is copied first, to a temporary
    file if it is large. Such a file can be read once.

    Attributes:
        file: nobody else may read it meanwhile.
    """

    file: BinaryIO | IO[bytes]

    def __str__(self) -> str:
        name = getattr(self.file, "name", None)
        return os.fsdecode(name) if isinstance(name, str | bytes) else "open file"

    def __reduce__(self) -> Any:
        raise ArgumentError(
            f"{self}: an open file cannot be sent to another process; give its path or its bytes"
        )

    def find(self, limits: Limits) -> FileContent:
        """See `VideoSource.find`."""
        if isinstance(self.file, io.TextIOBase):
            raise ArgumentError(f"{self}: expected a file opened in binary mode ('rb'), got text")
        if getattr(self.file, "closed", False):
            raise NotAVideoError(self, "the file is closed")
        seekable = getattr(self.file, "seekable", None)
        can_seek = hasattr(self.file, "seek") and (seekable is None or seekable())
        file = self.file if can_seek else copied(str(self), self.file.read, limits)[0]
        content = FileContent(str(self), self.file_name, file, is_copy=not can_seek)
        try:
            if not content.size:
                raise NotAVideoError(content.name, "the file is empty (zero bytes)")
            refuse_playlist(content.name, content.read_at(0, 4096))
        except VideoError:
            content.close()
            raise
        return content


def copied(name: str, read: Callable[[int], bytes], limits: Limits) -> tuple[IO[bytes], int]:
    """A copy of what cannot be read in parts, in memory or in a temporary file, and its size.

    Args:
        name: the address, for messages.
        read: gives at most so many bytes; none at the end.
        limits: how much may be copied.
    """
    size = 0
    with ExitStack() as stack:
        copy = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))
        try:
            while data := read(_COPY_BYTES):
                size += len(data)
                limits.check_copied(name, size)
                copy.write(data)
        except (OSError, ValueError, TypeError) as error:
            raise _failing(name, error) from error
        stack.pop_all()
    return copy, size


class FileContent(SourceContent):
    """The bytes of an open file that can seek.

    Args:
        name, file_name: see `SourceContent`.
        file: it stays open, unless it is a copy.
        is_copy: it belongs to this content.
    """

    def __init__(
        self, name: str, file_name: str, file: BinaryIO | IO[bytes], *, is_copy: bool = False
    ) -> None:
        self.name, self.file_name, self._is_copy = name, file_name, is_copy
        self._file, self._lock = file, threading.Lock()
        try:
            self.size = file.seek(0, io.SEEK_END)
        except (OSError, ValueError) as error:
            raise _failing(name, error) from error
        self.version = _version(file)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `SourceContent.read_at`."""
        with self._lock:
            try:
                self._file.seek(offset)
                parts = [self._file.read(size)]
                while parts[-1] and (left := size - sum(map(len, parts))) > 0:
                    parts.append(self._file.read(left))  # raw files give what they have at hand
            except (OSError, ValueError) as error:
                raise _failing(self.name, error) from error
        return b"".join(parts)

    def close(self) -> None:
        """See `SourceContent.close`."""
        if self._is_copy:
            self._file.close()


def _version(file: BinaryIO | IO[bytes]) -> str | None:
    try:
        return str(os.fstat(file.fileno()).st_mtime_ns)
    except (OSError, AttributeError, ValueError):  # no file of the system
        return None


def _failing(name: str, error: Exception) -> VideoError:
    kind = InputOutputError if is_trouble(error) else NotAVideoError
    return kind(name, f"cannot be read: {getattr(error, 'strerror', None) or error}")
