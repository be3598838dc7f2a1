"""Reads text that others wrote; what is wrong is said with its file and line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vidattn.errors import MalformedFileError

SHOWN = 60  # characters of a wrong value in a message


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
