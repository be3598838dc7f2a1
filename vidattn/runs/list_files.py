"""Files that name videos: text, CSV and Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vidattn.errors import AnnotationError
from vidattn.files import read_utf8
from vidattn.video.sources.addresses import MEMBER

# Names of the column that says where a video is; the first one that is there counts.
COLUMNS = ("path", "video", "url")

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def listed_names(path: Path) -> Iterator[tuple[int, str]]:
    """Line or row of a list, from 1, and the path or address there, where there is one.

    In a text file, each line is a path. In a CSV file, whose first line is a header, and in a
    Parquet file, they are in the column `path`, `video` or `url`, and other columns do not count.
    In a Parquet file, the column may also hold the videos themselves (see `ParquetRow`).

    Args:
        path: of the list; its ending says what it is.

    Raises:
        AnnotationError: the list cannot be read, or has no such column.
        MissingLibraryError: pyarrow is not installed.
    """
    for number, name in _READERS[path.suffix.lower()](path):
        if name.strip():
            yield number, name


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Lines end where editors end them: other line breaks of Unicode may be in names.
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        yield number, line.removesuffix("\r")


def _csv_rows(path: Path) -> Iterator[tuple[int, str]]:
    text = read_utf8(path)
    # One line after the other: of a long list, a copy of the whole text would be large.
    rows = csv.reader((line[0] for line in _LINE.finditer(text)), strict=True)
    line = 1
    try:
        header = [cell.strip() for cell in next(rows, [])]
        place = header.index(_column(path, header))
        for cells in rows:
            number, line = line + 1, rows.line_num
            if len(cells) > place:
                yield number, cells[place]
            elif any(cells):
                reason = f"expected {len(header)} cells, as in the header, got {len(cells)}"
                raise AnnotationError(path, number, reason)
    except csv.Error as error:
        raise AnnotationError(path, rows.line_num, str(error)) from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, str]]:
    from vidattn.runs.parquet_results import pyarrow

    library = pyarrow("lists in Parquet files")
    try:
        with library.parquet.ParquetFile(path) as file:
            column = _column(path, file.schema_arrow.names)
            kind, types = file.schema_arrow.field(column).type, library.types
            if types.is_struct(kind) or types.is_binary(kind) or types.is_large_binary(kind):
                for row in range(file.metadata.num_rows):
                    yield row + 1, f"{path.name}{MEMBER}{column}[{row}]"
                return
            number = 0
            for batch in file.iter_batches(columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    if value is not None and not isinstance(value, str):
                        reason = f"{column}: expected text, got {type(value).__name__}"
                        raise AnnotationError(path, number, reason)
                    yield number, value or ""
    except (library.ArrowException, OSError) as error:
        raise AnnotationError(path, 0, f"cannot be read as Parquet: {error}") from error


def _column(path: Path, names: Sequence[str]) -> str:
    for column in COLUMNS:
        if column in names:
            return column
    raise AnnotationError(
        path, 0, f"expected a column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}, got {list(names)}"
    )


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, str]]]] = {
    ".txt": _lines,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}
LIST_SUFFIXES = frozenset(_READERS)
