"""Reads tables of text that others wrote; what is wrong is said with its file and line."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.text_files import read_text, shown

_PLAIN_INTEGER = re.compile(r"[+-]?\d{1,18}")


class TextTable:
    """Cells of a text file by column, each row with the line that it came from.

    Attributes:
        path: the file.
        columns: name -> cells, stripped of the space around them.
        lines: 1-based line of each row.
        paths: the file of each row, where a table was put together from several.
    """

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, Sequence[str]],
        lines: Sequence[int],
        paths: Sequence[Path] | None = None,
    ) -> None:
        self.path = path
        self.columns = columns
        self.lines = lines
        self.paths = paths

    def __len__(self) -> int:
        return len(self.lines)

    def refuse(self, row: int, expected: str, got: str) -> NoReturn:
        """Raise for one row (0-based)."""
        path = self.path if self.paths is None else self.paths[row]
        raise MalformedFileError(path, int(self.lines[row]), expected, got)

    def names(self, column: str) -> Sequence[str]:
        """A column of non-empty text."""
        cells = self.columns[column]
        if "" in cells:
            self.refuse(list(cells).index(""), column, "an empty cell")
        return cells

    def floats(
        self, column: str, *, low: float = -math.inf, high: float = math.inf
    ) -> NDArray[np.float64]:
        """A column of finite numbers in [low, high]."""
        cells = self.columns[column]
        try:
            numbers = np.fromiter(map(float, cells), float, len(cells))
        except ValueError:
            self._refuse_first(column, float, "a number")
        wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= low) & (numbers <= high)))
        if len(wrong):
            expected = _range(f"{column}: a finite number", low, high)
            self.refuse(int(wrong[0]), expected, shown(cells[wrong[0]]))
        return numbers

    def integers(
        self, column: str, *, low: int | None = None, high: int | None = None
    ) -> NDArray[np.int64]:
        """A column of whole numbers in [low, high], written as such; `1.0` is none."""
        cells = self.columns[column]
        # The same few numbers come again and again.
        try:
            known = {cell: _integer(cell) for cell in set(cells)}
        except ValueError:
            self._refuse_first(column, _integer, "a whole number")
        for cell, number in known.items():
            if (low is not None and number < low) or (high is not None and number > high):
                expected = _range(f"{column}: a whole number", low, high)
                self.refuse(cells.index(cell), expected, shown(cell))
        return np.fromiter(map(known.__getitem__, cells), np.int64, len(cells))

    def _refuse_first(self, column: str, read: Callable[[str], Any], what: str) -> NoReturn:
        """Raise for the first cell that cannot be read."""
        for row, cell in enumerate(self.columns[column]):
            try:
                read(cell)
            except ValueError:
                self.refuse(row, f"{column}: {what}", shown(cell))
        raise AssertionError(f"every cell of {column} can be read")

    def unique(self, what: str, *columns: Sequence[Any] | NDArray[Any]) -> None:
        """Refuse the second row with the same values in these columns."""
        first: dict[tuple[Any, ...], int] = {}
        for row, key in enumerate(zip(*columns, strict=True)):
            if (before := first.setdefault(key, row)) != row:
                got = f"{shown(key)} again, first on line {self.lines[before]}"
                self.refuse(row, f"one row for each {what}", got)


def read_table(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    header: bool | None = False,
    separator: str | None = ",",
) -> TextTable:
    """A CSV file, or one separated by other characters. Blank lines are passed over.

    Args:
        columns: names that each row must have; without a header, in this order.
        optional: further ones; without a header, those that stand at the end of every row.
        header: whether the first row has the names, in any order, others being passed over.
            None: it is a header if it holds one of the names of `columns`.
        separator: of cells; None: white space, without quoting.

    Raises:
        MalformedFileError: missing or repeated columns, rows of different length, no rows,
            broken quoting, and all that `read_text` refuses.
    """
    path = Path(path)
    rows, lines = read_rows(path, separator=separator)
    stripped = [cell.strip() for cell in rows[0]]
    if header or (header is None and not set(columns).isdisjoint(stripped)):
        names, rows, lines = _header(path, stripped, lines[0], columns), rows[1:], lines[1:]
        wanted = {*columns, *optional}
    else:
        names = [*columns, *optional][: max(len(columns), len(stripped))]
        wanted = {*names}
    if not rows:
        raise MalformedFileError(path, 0, "rows below the header", "none")
    _check_lengths(path, rows, lines, names)
    cells = dict(zip(names, zip(*rows, strict=True), strict=True))
    found = {
        name: [cell.strip() for cell in column] for name, column in cells.items() if name in wanted
    }
    return TextTable(path, found, lines)


def read_rows(
    path: str | os.PathLike[str], *, separator: str | None = ","
) -> tuple[list[list[str]], list[int]]:
    """Cells of every row that is not blank, and the line that it starts on.

    Raises:
        MalformedFileError: broken quoting, no rows, and all that `read_text` refuses.
    """
    path = Path(path)
    text = read_text(path)
    if separator is None:
        split = [line.split() for line in text.split("\n")]
        lines = [line for line, cells in enumerate(split, start=1) if cells]
        return [cells for cells in split if cells], lines
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    lines = []
    try:
        if '"' not in text:  # a row is a line
            rows = list(reader)
            lines = list(range(1, len(rows) + 1))
        else:
            line = 1
            for cells in reader:
                rows.append(cells)
                lines.append(line)
                line = reader.line_num + 1
    except csv.Error as error:
        line = lines[-1] + 1 if lines else reader.line_num
        raise MalformedFileError(path, line, "separated cells", str(error)) from error
    blank = [row for row, cells in enumerate(rows) if len(cells) < 2 and not "".join(cells).strip()]
    for row in reversed(blank):
        del rows[row], lines[row]
    if not rows:
        raise MalformedFileError(path, 0, "rows", "none")
    return rows, lines


def _header(path: Path, cells: list[str], line: int, columns: Sequence[str]) -> list[str]:
    for name in columns:
        if cells.count(name) != 1:
            got = f"{shown(name)} {cells.count(name)} times in {', '.join(cells)[:200]}"
            raise MalformedFileError(path, line, f"a header with {', '.join(columns)}", got)
    return _distinct(cells)


def _distinct(cells: Iterable[str]) -> list[str]:
    """Columns that nobody asked for are passed over, so they may share a name."""
    seen: dict[str, int] = {}
    names = []
    for cell in cells:
        count = seen[cell] = seen.get(cell, 0) + 1
        names.append(cell if count == 1 else f"{cell} ({count})")
    return names


def _check_lengths(
    path: Path, rows: list[list[str]], lines: list[int], names: Sequence[str]
) -> None:
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            listed = ", ".join(names)
            raise MalformedFileError(
                path, line, f"{len(names)} cells ({listed})", f"{len(row)}: {shown(','.join(row))}"
            )


def _integer(cell: str) -> int:
    if not _PLAIN_INTEGER.fullmatch(cell):
        raise ValueError
    return int(cell)


def _range(what: str, low: float | None, high: float | None) -> str:
    has_low, has_high = low not in (None, -math.inf), high not in (None, math.inf)
    if has_low and has_high:
        return f"{what} in [{low:g}, {high:g}]"
    if has_low:
        return f"{what} ≥ {low:g}"
    return f"{what} ≤ {high:g}" if has_high else what
