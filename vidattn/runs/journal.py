from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidattn.errors import ArgumentError
from vidattn.files import OVERWRITE, PARTIAL, naming_errors, write_json
from vidattn.runs.part_files import PART_FILE, PartState, part_prefix, part_states

# How much a power cut may cost; a killed process loses nothing that it has written.
SYNC_SECONDS = 5.0
SETTINGS_FILE = "settings.json"
# Pictures that belong into the files of a part of the list which is not done.
PICTURE_FOLDER = "pictures"
_SHOWN = 60
# Files of records of earlier versions have a random name; processes say in a file that they live.
_OWN = re.compile(rf"{PART_FILE.pattern}|[0-9a-f]{{16}}\.jsonl|worker-[0-9a-f]{{16}}")
_UNFINISHED = re.compile(re.escape(PARTIAL) + "[0-9a-f]{16}")


class FinishedElsewhereError(Exception):
    """Another process has written the result and removed the journal."""


class Journal:
    """Records of single items of a long run, saved as they come, so that the run can be resumed.

    A folder with the run's settings, and for each part of the list a file of JSON lines from each
    process that has taken the part (`Leases`). Nobody writes to the file of another, and a line
    that a kill cut off does not count. The name of an empty file beside it says that a part is
    done: the state of a run of any length is read from names alone. All names have a digest of the
    settings in them, so that what is left of another run never counts.

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
        self._prefix = part_prefix(wanted)

    def parts(self) -> dict[int, PartState]:
        """The parts that were taken.

        Raises:
            FinishedElsewhereError: the journal is no more.
        """
        with self._must_be_there():
            return part_states(self.folder, self._prefix)

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number of an item and a record of it, from all processes up to now.

        Of an item that was done twice, the last one counts.
        """
        yield from _entries(self.folder)

    def part_records(self, part: int, generation: int) -> dict[int, dict[str, Any]]:
        """Records of a part by the numbers of their items.

        Args:
            generation: how many processes have taken the part; the records of a later one count.
        """
        found: dict[int, dict[str, Any]] = {}
        for each in range(1, generation + 1):
            found.update(_entries_of(self._records_path(part, each)))
        return found

    def writer(self, part: int, generation: int, worker: str) -> JournalWriter | None:
        """A file of this process's own for records of a part; None if another process has it.

        Args:
            generation: how many processes have taken the part, this one included.
            worker: name of this process.

        Raises:
            FinishedElsewhereError: the journal is no more.
        """
        try:
            with self._must_be_there():
                return JournalWriter(self._records_path(part, generation), worker)
        except FileExistsError:
            return None

    def owner(self, part: int, generation: int) -> str:
        """Name of the process that has such a file; "" where it has not written it yet."""
        try:
            with open(self._records_path(part, generation), encoding="utf-8") as file:
                return str(json.loads(file.readline())["worker"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def mark_done(self, part: int, generation: int, items: int, failed: int) -> None:
        """All items of the part have records; `failed` is how many gave no result."""
        path = self._records_path(part, generation).with_suffix(f".done-{items}-{failed}")
        with self._must_be_there():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666))

    def _records_path(self, part: int, generation: int) -> Path:
        return self.folder / f"{self._prefix}{part:07}.{generation:04}.jsonl"

    @contextmanager
    def _must_be_there(self) -> Iterator[None]:
        """A process that finishes the run may remove the journal at any time."""
        try:
            if not self.is_begun(self.folder):
                raise FinishedElsewhereError
            yield
        except FileNotFoundError:
            raise FinishedElsewhereError from None

    @staticmethod
    def is_begun(folder: Path) -> bool:
        """Whether there is the journal of a run."""
        return (folder / SETTINGS_FILE).is_file()

    @staticmethod
    def close(folder: Path) -> int:
        """Forget the processes of a run that has all records.

        Returns:
            videos that gave no result; 0 where there is no such run.
        """
        if not Journal.is_begun(folder):
            return 0
        states = part_states(folder, part_prefix(_read_settings(folder / SETTINGS_FILE)))
        open_parts = {part for part, state in states.items() if not state.is_done}
        for file in list(folder.iterdir()):
            name = PART_FILE.fullmatch(file.name)
            if file.is_dir() and _is_own_folder(file.name):
                shutil.rmtree(file, ignore_errors=True)
            elif file.name.startswith("worker-") or (name and int(name["part"]) in open_parts):
                file.unlink(missing_ok=True)
        return sum(state.failed or 0 for state in states.values())

    @staticmethod
    def remove(folder: Path, *, also: Sequence[str] = ()) -> None:
        """Delete a run's journal; another process may have done so already.

        Only files that journals consist of are deleted, so that whatever else somebody has put
        there stays, and with it the folder.

        Args:
            also: names of further files that belong to the run.
        """
        with suppress(OSError):
            settings = folder / SETTINGS_FILE  # the last to go, for others know the run by it
            for file in sorted(folder.iterdir(), key=lambda file: file == settings):
                own = file.name in (SETTINGS_FILE, *also) or _OWN.fullmatch(file.name)
                if file.is_dir() and _is_own_folder(file.name):
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
    for path in sorted(folder.glob("*.jsonl")):
        yield from _entries_of(path)


def _entries_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Records of whole lines; none once another process has removed the file."""
    try:
        with open(path, "rb") as file:
            lines = [line for line in file if line.endswith(b"\n")]
    except FileNotFoundError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
            number, record = entry["number"], entry["record"]
        except (ValueError, KeyError, TypeError):
            continue  # torn by a power cut: the item is done again
        yield number, record


class JournalWriter:
    """Appends records; whole lines reach the file, whatever ends the process in between.

    Args:
        path: made by this process alone.
        worker: name of this process.

    Raises:
        FileExistsError: another process was quicker.
    """

    def __init__(self, path: Path, worker: str) -> None:
        self._path = path
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._descriptor = os.open(path, how, 0o666)
        self._synced = time.monotonic()
        self._write(json.dumps({"worker": worker}).encode() + b"\n")

    def write(self, records: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """Append records by the numbers of their items, in one go.

        Returns:
            the records as they will be read: what JSON makes of them.
        """
        lines = [
            json.dumps({"number": number, "record": record}, allow_nan=False) + "\n"
            for number, record in records.items()
        ]
        self._write("".join(lines).encode())
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()
        return {
            number: json.loads(line)["record"] for number, line in zip(records, lines, strict=True)
        }

    def sync(self) -> None:
        """Force what was written to the disk."""
        with naming_errors(self._path):
            os.fsync(self._descriptor)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Nothing more is written; what was written is not forced to the disk."""
        with naming_errors(self._path):
            os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        with naming_errors(self._path):
            while content:
                content = content[os.write(self._descriptor, content) :]


def _is_own_folder(name: str) -> bool:
    """Of pictures, or of files that a process was writing when it was killed."""
    return name == PICTURE_FOLDER or bool(_UNFINISHED.fullmatch(name))


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
