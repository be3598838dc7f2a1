from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidattn.errors import DecodeError, InputOutputError
from vidattn.files import is_trouble
from vidattn.video.limits import Limits
from vidattn.video.sources.paths import checked_path
from vidattn.video.sources.source import ReadAt, SourceContent, VideoSource


@dataclass(frozen=True)
class LocalFile(VideoSource):
    """A file of this machine, or a folder of frame images.

    Attributes:
        path: as the caller gave it.
    """

    path: str | os.PathLike[str]

    def __str__(self) -> str:
        return os.fspath(self.path)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and so perhaps one of frame images."""
        return os.path.isdir(self.path)

    def find(self, limits: Limits) -> LocalContent:
        """See `VideoSource.find`; also `checked_path`."""
        return LocalContent(os.fspath(self.path), checked_path(self.path))


class LocalContent(SourceContent):
    """The bytes of a file of this machine.

    Args:
        name: as the caller named it.
        path: absolute, as `checked_path` gives it.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path, self.file_name = name, path, path.name
        self._identity = self._found()
        self.size = self._identity[2]
        self.version: str = str(self._identity[3])

    def read_at(self, offset: int, size: int) -> bytes:
        """See `SourceContent.read_at`."""
        with self.reading() as read_at:
            return read_at(offset, size)

    @contextmanager
    def reading(self) -> Iterator[ReadAt]:
        """See `SourceContent.reading`; the file is open meanwhile."""
        try:
            opened = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed below
        except OSError as error:
            raise self._said(error, "cannot be read") from error
        with opened as file:

            def read_at(offset: int, size: int) -> bytes:
                try:
                    if hasattr(os, "pread"):
                        return os.pread(file.fileno(), size, offset)
                    file.seek(offset)  # on Windows
                    return file.read(size) or b""
                except OSError as error:
                    raise self._said(error, "cannot be read") from error

            yield read_at

    def check_unchanged(self) -> None:
        """See `SourceContent.check_unchanged`."""
        if self._found() != self._identity:
            raise DecodeError(self.name, "the file has changed since it was opened")

    def for_ffmpeg(self) -> str:
        """The absolute path: FFmpeg reads files faster than through Python."""
        return str(self.path)

    def _found(self) -> tuple[int, int, int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise self._said(error, "cannot be found again") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _said(self, error: OSError, what: str) -> DecodeError | InputOutputError:
        kind = InputOutputError if is_trouble(error) else DecodeError
        return kind(self.name, f"{what}: {error.strerror or error}")
