"""Reads JSON that others wrote; what is wrong is said with its file and line."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.text_files import read_text, shown

_NUMBER_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_SPACE = re.compile(r"[ \t\n\r]*")


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
