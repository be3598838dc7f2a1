"""Result files that are either whole or absent, whatever interrupts the program."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import json
import math
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import AnnotationError, ArgumentError, InputOutputError, VidattnError

# What says nothing of a file, only of the disk or network that it lies on.
_TROUBLE = {
    getattr(errno, name)
    for name in (
        "EIO", "ESTALE", "ETIMEDOUT", "EREMOTEIO", "ENETDOWN", "ENETUNREACH", "ENETRESET",
        "ECONNABORTED", "ECONNRESET", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN",
    )
    if hasattr(errno, name)
}  # fmt: skip
# How names of files that are not finished begin.
PARTIAL = ".partial-"
OVERWRITE = "--overwrite (in Python: overwrite=True)"
# A spreadsheet runs a cell that begins so as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


# Longer endings are left out of temporary names: a file system takes 255 bytes for a whole name.
_LONGEST_SUFFIX = 32


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, which becomes `path` if all goes well.

    For whatever writes a file itself, such as a video encoder. Parent folders are made. On an
    error the temporary file is removed and an older file at `path` stays as it was. A reader
    never sees a part; a power cut may still lose the file (nothing is forced to the disk).
    Where `path` is a link, the file that it leads to is written; a device or a pipe gets the
    content and stays what it is.

    Raises:
        OSError: the folder cannot be written, the disk is full, or nothing was written to the
            temporary path. It names `path`, also where a library said something else.
    """
    with naming_errors(path):
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file() and not target.is_dir():
            with tempfile.TemporaryDirectory(prefix="vidattn-") as folder:
                temporary = Path(folder) / _temporary_name(target)
                yield temporary
                with open(temporary, "rb") as source, open(target, "wb") as device:
                    shutil.copyfileobj(source, device)
            return
        temporary = target.with_name(_temporary_name(target))
        try:
            yield temporary
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def written_together(
    folder: str | os.PathLike[str], *, beside: str | os.PathLike[str]
) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` if all goes well; else none of them does.

    Args:
        folder: made once there is something to move; files of the same names are replaced.
        beside: folder in which the temporary one is made, on the same disk.
    """
    target = Path(folder)
    temporary = Path(beside) / _temporary_name(Path())
    made_folder = not os.path.lexists(beside)
    with naming_errors(temporary):
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with naming_errors(target):
            target.mkdir(parents=True, exist_ok=True)
            for file in sorted(temporary.iterdir()):
                os.replace(file, target / file.name)
    except OSError as error:
        if error.filename is None or Path(error.filename).parent != temporary:
            raise
        name = target / Path(error.filename).name
        raise OSError(error.errno, error.strerror, str(name)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if made_folder:
            with suppress(OSError):
                os.rmdir(beside)  # where nothing came of it


def _temporary_name(target: Path) -> str:
    suffix = target.suffix
    if len(os.fsencode(suffix)) > _LONGEST_SUFFIX:
        suffix = ""
    return f"{PARTIAL}{secrets.token_hex(8)}{suffix}"


@contextmanager
def naming_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of the operating system, also those behind a library's own, name this file."""
    try:
        yield
    except VidattnError:
        raise
    except Exception as error:
        found = system_error(error)
        number = None if found is None else found.errno
        if number is None or number not in errno.errorcode:  # FFmpeg has errors of its own
            raise
        raise OSError(number, os.strerror(number), os.fspath(path)) from error


def system_error(error: BaseException) -> OSError | None:
    """What the operating system said: the error itself, or the one that it came from.

    PyTorch and others raise a RuntimeError of their own over what a full disk made of a write.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, OSError):
        seen = seen.__cause__ or seen.__context__
    return seen


def is_trouble(error: BaseException) -> bool:
    """Whether a disk or a network failed, so that another attempt may succeed.

    FFmpeg's own errors do not tell: it gives the same number for files that are cut off.
    """
    return isinstance(error, InputOutputError) or (
        isinstance(error, OSError)
        and error.errno in _TROUBLE
        and type(error).__module__ == "builtins"
    )


def read_utf8(path: str | os.PathLike[str]) -> str:
    """A UTF-8 file that a person wrote, with or without a byte-order mark.

    Raises:
        AnnotationError: it cannot be read, or is text of another encoding; with the line.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise AnnotationError(path, 0, f"cannot be read ({error.strerror})") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _looks_like_utf16(data):
        reason = "expected UTF-8 text; UTF-16 is not UTF-8: save the file again as UTF-8"
        raise AnnotationError(path, 1, reason)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AnnotationError(path, line, f"expected UTF-8 text, got {error.reason}") from error


def _looks_like_utf16(data: bytes) -> bool:
    """Whether every other byte is a NUL, as in UTF-16 of Latin letters without a mark."""
    head = data[:64]
    return len(head) >= 4 and any(not any(half) for half in (head[::2], head[1::2]))


def check_unused(
    path: str | os.PathLike[str],
    *,
    overwrite: bool,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Refuse to write over a file that is there already, unless that was asked for.

    A device or a pipe keeps nothing that could be lost.

    Args:
        path: of the file that is to be written.
        overwrite: a file that is there may be replaced.
        inputs: files that are read; none of them is ever replaced.

    Raises:
        ArgumentError: there is such a file, or a folder, which is never replaced.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # nothing is there; what else is wrong, writing says
        return
    if stat.S_ISDIR(mode):
        raise ArgumentError(f"{os.fspath(path)}: expected the name of a file, found a folder")
    if stat.S_ISREG(mode) and any(
        os.path.exists(own) and os.path.samefile(own, path) for own in inputs
    ):
        raise ArgumentError(
            f"{os.fspath(path)}: this file is read, so nothing is written over it; name another "
            "file for the output"
        )
    if stat.S_ISREG(mode) and not overwrite:
        raise ArgumentError(f"{os.fspath(path)}: the file exists; {OVERWRITE} replaces it")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file, such as an encoded PNG, or none of it."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole UTF-8 file with the line ends of `text`, or none of it."""
    write_bytes(path, text.encode("utf-8", errors="surrogateescape"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented UTF-8 JSON. NumPy arrays and numbers become lists and numbers.

    Raises:
        ArgumentError: NaN or infinity, which JSON does not have, or a value of another type;
            the message names the place, such as `$.videos[3].score`.
    """
    text = json.dumps(_plain(value, "$"), indent=2, ensure_ascii=False, allow_nan=False)
    # A file name that is no UTF-8 holds lone surrogates, which JSON can only carry escaped.
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(_plain(value, "$"), indent=2, allow_nan=False)
    write_text(path, text + "\n")


def write_csv(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write rows under a header. Text that a spreadsheet would run as a formula gets a `'`.

    Raises:
        ArgumentError: a row is longer or shorter than the header, or holds NaN or infinity.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_cell(name, "header") for name in header])
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ArgumentError(f"row {number}: expected {len(header)} cells, got {len(row)}")
        writer.writerow([_cell(cell, f"row {number}") for cell in row])
    write_text(path, buffer.getvalue())


def _cell(value: Any, place: str) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        raise ArgumentError(f"{place}: expected finite numbers, got {value}")
    return value


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ArgumentError(f"{place}: JSON has no {value}")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ArgumentError(f"{place}: JSON has no {type(value).__name__}")
