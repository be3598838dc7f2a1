"""Reads what others wrote: text, tables and JSON. What is wrong is said with its file and line."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import MalformedFileError

SHOWN = 60  # characters of a wrong value in a message

_NUMBER_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN_INTEGER = re.compile(r"[+-]?\d{1,18}")


def shown(value: Any) -> str:
    """A value as messages show it: short, on one line."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        MalformedFileError: no such file, an empty one, another encoding, NUL characters.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "nothing there" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise MalformedFileError(path, 0, "a file that can be read", reason) from error
    for mark, name in ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\x1f\x8b", "gzip")):
        if data.startswith(mark):
            raise MalformedFileError(path, 1, "UTF-8 text", name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        got = f"the byte 0x{data[error.start]:02x}, which is none"
        raise MalformedFileError(path, line, "UTF-8 text", got) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise MalformedFileError(path, line, "UTF-8 text", "a NUL character (UTF-16?)")
    if not text.strip():
        raise MalformedFileError(path, 0, "some content", "an empty file")
    return text


class Table:
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
) -> Table:
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
    return Table(path, found, lines)


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


class Document:
    """A JSON file and where its values stand.

    A *place* is the keys and positions that lead to a value, such as `("results", "v1", 3)`.

    Attributes:
        path: the file.
        value: what it holds.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._text = read_text(self.path)
        try:
            self.value: Any = json.loads(
                self._text, object_pairs_hook=_object, parse_constant=_constant
            )
        except json.JSONDecodeError as error:
            got = f"{error.msg} in column {error.colno}"
            raise MalformedFileError(self.path, error.lineno, "JSON", got) from error
        except RecursionError as error:
            raise MalformedFileError(self.path, 0, "JSON", "values nested too deep") from error
        except _RepeatedKeyError as error:
            line = self._line_of_repeated(error.key)
            got = f"{shown(error.key)} twice in one object"
            raise MalformedFileError(self.path, line, "every key once", got) from error
        except ValueError as error:
            line = self._line_of_constant()
            raise MalformedFileError(self.path, line, "finite numbers", str(error)) from error

    def refuse(self, place: Sequence[str | int], expected: str, got: str) -> NoReturn:
        """Raise for the value at a place; the message has its line and its keys."""
        name = "".join(f"[{shown(step)}]" for step in place)
        what = f"{name}: {expected}" if name else expected
        raise MalformedFileError(self.path, self.line(place), what, got)

    def line(self, place: Sequence[str | int]) -> int:
        """1-based line of the value at a place, or of what holds it where it is missing."""
        position = _SPACE.match(self._text, 0).end()  # type: ignore[union-attr]
        for step in place:
            found = _inside(self._text, position, step)
            if found is None:
                break
            position = found
        return self._text.count("\n", 0, position) + 1

    def mapping(self, value: Any, place: Sequence[str | int], expected: str) -> dict[str, Any]:
        """`value` if it is an object."""
        if not isinstance(value, dict):
            self.refuse(place, expected, shown(value))
        return value

    def sequence(self, value: Any, place: Sequence[str | int], expected: str) -> list[Any]:
        """`value` if it is a list."""
        if not isinstance(value, list):
            self.refuse(place, expected, shown(value))
        return value

    def member(self, value: Any, key: str, place: Sequence[str | int]) -> Any:
        """`value[key]`, where `value` is an object that has it."""
        if not isinstance(value, dict) or key not in value:
            got = f"the keys {shown(sorted(value))}" if isinstance(value, dict) else shown(value)
            self.refuse(place, f"an object with {key!r}", got)
        return value[key]

    def number(self, value: Any, place: Sequence[str | int]) -> float:
        """`value` as a finite float; text and true are none."""
        if type(value) not in (int, float) or not _finite(value):
            self.refuse(place, "a finite number", shown(value))
        return float(value)

    def text(self, value: Any, place: Sequence[str | int]) -> str:
        """`value` if it is text that is not empty."""
        if not isinstance(value, str) or not value:
            self.refuse(place, "text", shown(value))
        return value

    def _line_of_constant(self) -> int:
        for found in _NUMBER_OR_STRING.finditer(self._text):
            if not found.group().startswith('"'):
                return self._text.count("\n", 0, found.start()) + 1
        return 0

    def _line_of_repeated(self, key: str) -> int:
        """Of the second time that `key` is a key of one object."""
        levels: list[set[str]] = [set()]
        for found in re.finditer(r'("(?:[^"\\]|\\.)*")(\s*:)?|[{}]', self._text):
            token = found.group()
            if token == "{":
                levels.append(set())
            elif token == "}":
                levels.pop()
            elif found.group(2):
                name = json.loads(found.group(1), strict=False)
                if name == key and name in levels[-1]:
                    return self._text.count("\n", 0, found.start()) + 1
                levels[-1].add(name)
        return 0


class _RepeatedKeyError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of more than 308 digits
        return False


def _inside(text: str, start: int, step: str | int) -> int | None:
    """Where the value begins that `step` names in the object or list at `start`."""
    decoder = json.JSONDecoder()
    opening = "{" if isinstance(step, str) else "["
    if text[start : start + 1] != opening:
        return None
    position = _after_space(text, start + 1)
    number = 0
    while text[position] not in "]}":
        key: str | int = number
        if opening == "{":
            key, position = decoder.raw_decode(text, position)
            position = _after_space(text, _after_space(text, position) + 1)
        if key == step:
            return position
        _, position = decoder.raw_decode(text, position)
        position = _after_space(text, position)
        if text[position] == ",":
            position = _after_space(text, position + 1)
        number += 1
    return None


def _after_space(text: str, position: int) -> int:
    return _SPACE.match(text, position).end()  # type: ignore[union-attr]


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
