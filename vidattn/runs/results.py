"""Whose the files of an output folder are: a run writes only where nothing of a person's is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from vidattn.errors import ArgumentError
from vidattn.files import OVERWRITE, write_json
from vidattn.runs.journal import Journal, journaled_files
from vidattn.runs.part_files import taken
from vidattn.runs.parts import MANY_PARTS
from vidattn.runs.result_files import WRITTEN, Files, ResultFiles, checked
from vidattn.runs.work import Record

# The journal of a finished run in which videos failed: `retry_failed` tries these again.
KEPT_FOLDER = ".vidattn-failed"
_REPLACED_FILE = "replaced.json"
# A process of a launcher may start so much later than the one that finished their run.
_STRAGGLING_SECONDS = 60.0

RETRY = "--retry-failed (in Python: retry_failed=True)"


class ResultFolder(ResultFiles):
    """The files of one command in its output folder, which may hold other things too.

    What the command writes it lists in its record, a JSON file that it writes last. A later run of
    the command replaces those files if it is asked to; whatever else is in the way stays as it is,
    and the run is refused before it starts. While a run is unfinished, `.vidattn-run` holds its
    journal, and the same command resumes it. If videos have failed, the journal of the finished
    run stays as `.vidattn-failed`, for a run that tries them again.

    Args:
        folder: made if need be.
        command: such as "keyframes".
        record: name of the JSON file.
        files: names of the other files that it writes; "name/" for a folder that is all its own.
        folders: names of folders in which it writes files of other names.
        pattern: of the names of those files.
        overwrite: replace the result of an earlier run, or throw an unfinished one away.
        retry_failed: try the failed videos of an earlier run again, finished or not.
    """

    def __init__(
        self,
        folder: str | Path,
        command: str,
        record: str,
        files: Sequence[str] = (),
        *,
        folders: Sequence[str] = (),
        pattern: str = "",
        overwrite: bool = False,
        retry_failed: bool = False,
    ) -> None:
        super().__init__(folder, command, record, files, folders=folders, pattern=pattern)
        self.overwrite = overwrite
        self.retry_failed = retry_failed
        self.many_parts = MANY_PARTS
        self.part_files: list[str] = []  # names of files of each part, with a place for its number
        self._made_folder = False
        self._settings = ""
        self._begun = False

    @property
    def kept_folder(self) -> Path:
        """Where a finished run with failures keeps its journal."""
        return self.folder / KEPT_FOLDER

    @property
    def pictures_folder(self) -> Path:
        """Where the pictures of videos are written."""
        return self.folder

    def keep_part(self, part: int, records: Mapping[int, Record]) -> None:
        """All records of a part of the list are there: nothing is to be done."""

    def forget_part(self, records: Mapping[int, Record]) -> None:
        """A part of the list is kept: nothing is to be done."""

    def begin(self, settings: Mapping[str, Any], *, shared: bool = False) -> bool:
        """Go on with the unfinished run of these settings, or begin one; nothing is replaced yet.

        Args:
            settings: all that the result depends on, as JSON types.
            shared: other processes of a launcher do the same at the same time.

        Returns:
            False where other processes of the launcher have finished the run already.

        Raises:
            ArgumentError: the folder holds something that would be written over, or the
                unfinished run of other settings.
        """
        self._settings = _digest(settings)
        self._begun = True
        if self._goes_on(settings, shared=shared):
            return True
        if shared and self._just_finished():
            return False
        if self.retry_failed and self._reopened(settings):
            return True
        try:
            self.check()
        except ArgumentError:
            if shared and self._goes_on(settings, shared=True):  # another process was quicker
                return True
            raise
        self._made_folder = not self.folder.exists()
        kept = {
            "command": self.command,
            "replaced": self.replaced,
            "made_folder": self._made_folder,
            "part_files": self.part_files,
        }
        write_json(self.journal_folder / _REPLACED_FILE, kept)
        Journal(self.journal_folder, settings)
        Journal.remove(self.kept_folder, also=(_REPLACED_FILE,))
        return True

    def _reopened(self, settings: Mapping[str, Any]) -> bool:
        """Whether there is a finished run of these settings, which is unfinished from now on."""
        if not Journal.is_begun(self.kept_folder):
            return False
        Journal(self.kept_folder, settings)
        earlier = self.earlier()
        if reason := self._refusal(earlier[0] if earlier else {}, finished=False):
            raise ArgumentError(reason)
        with suppress(FileNotFoundError):  # another process was quicker
            self.kept_folder.rename(self.journal_folder)
        self.replaced = self._read_replaced()
        return True

    def check(self) -> None:
        """Note what an earlier run has written, which this one is to replace.

        Raises:
            ArgumentError: something is in the way, or that was not asked for.
        """
        earlier = self.earlier()
        known = {**(earlier[0] if earlier else {}), **self.replaced}
        if reason := self._refusal(known, finished=earlier is not None):
            raise ArgumentError(reason)
        self.replaced = known

    def _just_finished(self) -> bool:
        earlier = self.earlier()
        if earlier is None or earlier[1] != self._settings:
            return False
        age_seconds = time.time() - (self.folder / self.record).stat().st_mtime
        return age_seconds < _STRAGGLING_SECONDS

    def _goes_on(self, settings: Mapping[str, Any], *, shared: bool) -> bool:
        """Whether there is an unfinished run of these settings; `overwrite` ends another one."""
        if not Journal.is_begun(self.journal_folder):
            return False
        try:
            Journal(self.journal_folder, settings)
        except ArgumentError:
            if not self.overwrite or shared:
                raise
            if not self._kept():
                raise ArgumentError(
                    f"{self.journal_folder} holds an unfinished run of another command; give "
                    "another --output"
                ) from None
            unfinished = self._journaled()
            self.replaced = {**self._read_replaced(), **unfinished}
            for name in unfinished:
                self.unlink(name)
            Journal.remove(self.journal_folder, also=(_REPLACED_FILE,))
            return False
        self.replaced = self._read_replaced()
        return True

    def _kept(self) -> dict[str, Any]:
        """What the unfinished run has noted; nothing where it is no run of this command."""
        try:
            kept = json.loads((self.journal_folder / _REPLACED_FILE).read_text(encoding="utf-8"))
            return dict(kept) if kept["command"] == self.command else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _journaled(self) -> dict[str, int | None]:
        """What the unfinished run has written so far."""
        found = checked(journaled_files(self.journal_folder))
        forms = self._kept().get("part_files", [])
        return found | {form.format(p): None for form in forms for p in taken(self.journal_folder)}

    def _read_replaced(self) -> dict[str, int | None]:
        kept = self._kept()
        self._made_folder = kept.get("made_folder") is True
        return checked(kept.get("replaced", {}))

    def _refusal(self, known: Files, *, finished: bool) -> str:
        """Why the run may not begin; "" if it may."""
        found = list(dict.fromkeys(self.in_the_way(known)))
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            return (
                f"{found[0]}{more}: this is in the way, and `vidattn {self.command}` did not write "
                "it, or it was changed since; nothing is written over it. Give another --output, "
                "or move it away"
            )
        if finished and not self.overwrite:
            retry = f"{RETRY} tries its failed videos again, "
            return (
                f"{self.folder / self.record}: holds the result of an earlier run; "
                f"{retry if Journal.is_begun(self.kept_folder) else ''}{OVERWRITE} "
                "replaces what that run wrote, or give another --output"
            )
        return ""

    def remove_replaced(self, below: str) -> None:
        """Remove what the earlier run wrote into a folder that the run is about to fill."""
        for name in self.replaced:
            if str(PurePosixPath(name).parent) == below:
                self.unlink(name)

    def clear(self, *, but: str) -> None:
        """Remove what is to be replaced at once, and what the run has written before it stopped.

        For a run that begins anew each time, whose steps would go on with what they find.

        Args:
            but: a file that the run has written this time.
        """
        for name in self.replaced:
            if name != but:
                self.unlink(name)
        for name in self.files:
            if name != but and not name.endswith("/"):
                (self.folder / name).unlink(missing_ok=True)

    def finish(self, content: Mapping[str, Any], files: Files | Iterable[str]) -> dict[str, Any]:
        """Write the record, remove what only earlier runs had, and forget the journal.

        Args:
            content: of the record.
            files: all that belongs to the result besides the record; with their sizes, or names.

        Returns:
            the record as it is written.
        """
        record = self.recorded(content, files)
        own = record[WRITTEN]["files"]
        self.replaced = {**self.replaced, **self._journaled()}
        for name in self.replaced:
            if name not in own and name != self.record:
                self.unlink(name)
        write_json(self.folder / self.record, record)
        self._keep_failed()
        self.abandon()
        return record

    def _keep_failed(self) -> None:
        """Keep the journal of a run in which videos failed, instead of forgetting it."""
        Journal.remove(self.kept_folder, also=(_REPLACED_FILE,))
        if self._begun and Journal.close(self.journal_folder):
            with suppress(OSError):  # something of a person's is there: nothing can be kept
                self.journal_folder.rename(self.kept_folder)

    def recorded(
        self,
        content: Mapping[str, Any],
        files: Files | Iterable[str],
        *,
        folder: Path | None = None,
    ) -> dict[str, Any]:
        """The record as in `finish`; `folder` is where the files lie until they are moved."""
        place = folder or self.folder
        own = files if isinstance(files, Mapping) else {each: _size(place / each) for each in files}
        files = dict(sorted(own.items()))
        written = {"command": self.command, "settings": self._settings, "files": files}
        return {**content, WRITTEN: written}

    def abandon(self) -> None:
        """Forget the journal; a folder that was made for a result that never came goes, too."""
        if self._begun:
            Journal.remove(self.journal_folder, also=(_REPLACED_FILE,))
        if self._made_folder:
            with suppress(OSError):
                self.folder.rmdir()  # where there is nothing to show


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _digest(settings: Mapping[str, Any]) -> str:
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
