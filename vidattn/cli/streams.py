"""Standard output that takes whatever names of files hold."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import suppress
from typing import Any


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print `value` as JSON, readable where standard output can hold it, else escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        # A name that is no UTF-8 holds lone surrogates, which JSON can only carry escaped.
        text = json.dumps(value, indent=indent, allow_nan=False)
    print(text)


def make_lenient() -> None:
    """Let standard output and error print names that their encoding does not have, escaped."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        # In the locale "C" errors are `surrogateescape`, which takes what is no UTF-8 and no more.
        not_unicode = not stream.encoding.lower().replace("-", "").startswith("utf")
        if stream.errors == "strict" or (stream.errors == "surrogateescape" and not_unicode):
            stream.reconfigure(errors="backslashreplace")


def silence() -> None:
    """Drop what standard output still holds: it would be tried again when the interpreter ends."""
    with suppress(OSError, ValueError):  # a stream that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
