"""Whose the files of an output folder are: those of a command, or a person's."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

JOURNAL_FOLDER = ".vidattn-run"
# The entry of a result by which a later run knows that it is one, and what belongs to it.
WRITTEN = "written"
# Name below the output folder, with `/` -> bytes, or None where they may change.
Files = Mapping[str, int | None]


class ResultFiles:
    """The files that a command writes into its output folder, and those that it wrote earlier.

    Args:
        folder, command, record, files, folders, pattern: see `ResultFolder`.

    Attributes:
        replaced: what an earlier run wrote -> its size, which the command may replace.
    """

    def __init__(
        self,
        folder: str | Path,
        command: str,
        record: str,
        files: Sequence[str],
        *,
        folders: Sequence[str],
        pattern: str,
    ) -> None:
        self.folder = Path(folder)
        self.command = command
        self.record = record
        self.files = [record, *files]
        self.folders = list(folders)
        self.pattern = re.compile(pattern, re.IGNORECASE)
        self.replaced: dict[str, int | None] = {}

    @property
    def journal_folder(self) -> Path:
        """Where an unfinished run keeps its journal."""
        return self.folder / JOURNAL_FOLDER

    def earlier(self) -> tuple[dict[str, int | None], str] | None:
        """Files and settings of the finished run whose record is here; None if there is none."""
        try:
            content = json.loads((self.folder / self.record).read_text(encoding="utf-8"))
            written = content[WRITTEN]
            if written["command"] != self.command:
                return None
            return checked(written["files"]) | {self.record: None}, str(written["settings"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def in_the_way(self, known: Files) -> Iterator[Path]:
        """What lies where the run would write, other than what is known to be its own."""
        folders = {self.folder, self.journal_folder}
        for name in [*self.files, *(f"{folder}/x" for folder in self.folders)]:
            folders.update(self.folder / part for part in PurePosixPath(name).parents)
        yield from (each for each in sorted(folders) if os.path.lexists(each) and not each.is_dir())
        for name in self.files:
            path = self.folder / name
            if os.path.lexists(path) and not self.is_ours(name, known):
                yield path
        parents = {str(PurePosixPath(name).parent) for name in known}
        for name in self.folders:
            if not (self.folder / name).is_dir():
                continue
            for entry in sorted((self.folder / name).iterdir()):
                own = f"{name}/{entry.name}"
                if entry.name.startswith(".") or entry in folders or self.is_ours(own, known):
                    continue
                if own in known or name not in parents or self.pattern.fullmatch(entry.name):
                    yield entry

    def is_ours(self, name: str, known: Files) -> bool:
        """Whether an earlier run wrote it, and nobody changed it since as far as its size tells."""
        path = self.folder / name
        if name not in known or path.is_symlink() or path.is_dir() != name.endswith("/"):
            return False
        return known[name] is None or path.stat().st_size == known[name]

    def unlink(self, name: str) -> None:
        """Remove a file of ours that nobody changed, and folders that are empty then."""
        path = self.folder / name
        if path.is_file() and self.is_ours(name, self.replaced):
            path.unlink()
            with suppress(OSError):
                for parent in PurePosixPath(name).parents[:-1]:
                    (self.folder / parent).rmdir()


def checked(files: Mapping[str, Any]) -> dict[str, int | None]:
    """Files that a record names, without such as lie elsewhere."""
    return {
        name: None if size is None else int(size)
        for name, size in files.items()
        if not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
    }
