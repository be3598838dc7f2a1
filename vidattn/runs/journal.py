from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidattn.errors import ArgumentError
from vidattn.files import OVERWRITE, PARTIAL, naming_errors, write_json

# How much a power cut may cost; a killed process loses nothing that it has written.
SYNC_SECONDS = 5.0
SETTINGS_FILE = "settings.json"
_SHOWN = 60
_RECORDS = re.compile(r"[0-9a-f]{16}\.jsonl")
_UNFINISHED = re.compile(re.escape(PARTIAL) + "[0-9a-f]{16}")


class Journal:
    """Records of single items of a long run, saved as they come, so that the run can be resumed.

    A folder with the run's settings and a file of JSON lines from every process that ever worked
    on it. Nobody writes to the file of another, so any number may work at once, and a line that
    a kill cut off does not count.

    Args:
        folder: made if need be.
        settings: all that the records depend on, as JSON types.

    Raises:
        ArgumentError: the folder holds an unfinished run with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        wanted = json.loads(json.dumps(settings))
        path = folder / SETTINGS_FILE
        if not path.is_file():
            write_json(path, wanted)
        if differences := _differences(_read_settings(path), wanted):
            raise ArgumentError(
                f"{folder} holds an unfinished run with other settings ({differences}); give "
                f"another --output, or {OVERWRITE} to throw away what that run has done"
            )

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number of an item and a record of it, from all processes up to now.

        An item that was done twice comes twice, in no particular order.
        """
        yield from _entries(self.folder)

    def writer(self) -> JournalWriter:
        """A file of this process's own for further records."""
        return JournalWriter(self.folder / f"{secrets.token_hex(8)}.jsonl")

    @staticmethod
    def is_begun(folder: Path) -> bool:
        """Whether there is the journal of a run."""
        return (folder / SETTINGS_FILE).is_file()

    @staticmethod
    def remove(folder: Path, *, also: Sequence[str] = ()) -> None:
        """Delete a run's journal; another process may have done so already.

        Only files that journals consist of are deleted, so that whatever else somebody has put
        there stays, and with it the folder.

        Args:
            also: names of further files that belong to the run.
        """
        with suppress(OSError):
            for file in list(folder.iterdir()):
                own = file.name in (SETTINGS_FILE, *also) or _RECORDS.fullmatch(file.name)
                if file.is_dir() and _UNFINISHED.fullmatch(file.name):
                    shutil.rmtree(file, ignore_errors=True)  # of a process that was killed
                elif own or _UNFINISHED.match(file.name):
                    file.unlink(missing_ok=True)
            folder.rmdir()


def journaled_records(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """What `Journal.records` gives of a run of any settings; nothing where there is none."""
    yield from _entries(folder)


def journaled_files(folder: Path) -> dict[str, int | None]:
    """Files that the records of a run name, with their sizes in bytes."""
    found: dict[str, int | None] = {}
    for _, record in _entries(folder):
        found |= record.get("files", {})
    return found


def _entries(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in _lines(folder):
        try:
            entry = json.loads(line)
            number, record = entry["number"], entry["record"]
        except (ValueError, KeyError, TypeError):
            continue  # torn by a power cut: the item is done again
        yield number, record


def _lines(folder: Path) -> Iterator[bytes]:
    """Whole lines of all files; none once another process has removed the folder."""
    try:
        for path in sorted(folder.glob("*.jsonl")):
            with open(path, "rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return


class JournalWriter:
    """Appends records; whole lines reach the file, whatever ends the process in between."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._synced = time.monotonic()

    def write(self, records: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """Append records by the numbers of their items, in one go.

        Returns:
            the records as they will be read: what JSON makes of them.
        """
        lines = [
            json.dumps({"number": number, "record": record}, allow_nan=False) + "\n"
            for number, record in records.items()
        ]
        content = "".join(lines).encode()
        with naming_errors(self._path):
            while content:
                content = content[os.write(self._descriptor, content) :]
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()
        return {
            number: json.loads(line)["record"] for number, line in zip(records, lines, strict=True)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with naming_errors(self._path):
            try:
                os.fsync(self._descriptor)
            finally:
                os.close(self._descriptor)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{path}: cannot be read as the settings of a run ({error})") from None
    if not isinstance(content, dict):
        raise ArgumentError(f"{path}: expected the settings of a run")
    return content


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    shown = [
        f"{name}: {_short(there.get(name))} there, {_short(here.get(name))} here"
        for name in names[:3]
    ]
    return "; ".join(shown) + ("; …" if len(names) > 3 else "")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
