"""Videos in rows of Parquet files, as Hugging Face stores data sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

from vidattn.errors import (
    InputOutputError,
    MissingLibraryError,
    NotAVideoError,
    VideoNotFoundError,
)
from vidattn.files import is_trouble
from vidattn.video.limits import Limits
from vidattn.video.sources.memory import MemoryContent
from vidattn.video.sources.paths import checked_path, refuse_playlist
from vidattn.video.sources.source import VideoSource

_CELL = re.compile(r"(.+)\[(\d+)\]")


@dataclass(frozen=True)
class ParquetRow(VideoSource):
    """A video whose bytes are in a Parquet file of this machine.

    The rows before it in its row group are read, too; one row is held at a time.

    Attributes:
        file: path of the Parquet file.
        column: of bytes, or of structures with `bytes` and perhaps `path`.
        row: from 0.
    """

    file: str
    column: str
    row: int

    @classmethod
    def at(cls, file: str, cell: str) -> Self:
        """The source of an address `file::column[row]`.

        Raises:
            VideoNotFoundError: it is no such address.
        """
        found = _CELL.fullmatch(cell)
        if found is None:
            reason = f"expected a cell such as video[7] after '::', got {cell!r}"
            raise VideoNotFoundError(file, reason)
        return cls(file, found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.file}::{self.column}[{self.row}]"

    def find(self, limits: Limits) -> MemoryContent:
        """See `VideoSource.find`.

        Raises:
            MissingLibraryError: pyarrow is not installed.
        """
        path = checked_path(self.file)
        try:
            library = import_module("pyarrow.parquet")
            arrow = import_module("pyarrow")
        except ImportError as error:
            raise MissingLibraryError(
                f"{self}: pyarrow is needed; install it with `pip install 'vidattn[parquet]'`"
            ) from error
        try:
            with library.ParquetFile(path) as file:
                value = self._value(file)
        except (arrow.ArrowException, OSError) as error:
            kind = InputOutputError if is_trouble(error) else NotAVideoError
            raise kind(self, f"cannot be read as Parquet: {error}") from error
        data, name = value, ""
        if isinstance(value, Mapping):
            data, name = value.get("bytes"), value.get("path") or ""
        if not isinstance(data, bytes) or not data:
            raise NotAVideoError(self, "there are no bytes of a video in the row")
        limits.check_copied(str(self), len(data))
        refuse_playlist(str(self), data[:4096])
        return MemoryContent(str(self), name.rpartition("/")[2], memoryview(data))

    def _value(self, file: Any) -> Any:
        if self.column not in file.schema_arrow.names:
            raise VideoNotFoundError(self, f"no column {self.column!r} is in the file")
        left = self.row
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if left < count:
                batches = file.iter_batches(1, row_groups=[group], columns=[self.column])
                for _ in range(left):
                    next(batches)
                return next(batches).column(0)[0].as_py()
            left -= count
        raise VideoNotFoundError(self, f"the file has {file.metadata.num_rows} rows")
