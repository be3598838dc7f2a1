"""The file of what is known of videos, and the journal beside it until it is up to date."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidattn.errors import ArgumentError
from vidattn.files import OVERWRITE, check_unused, write_json
from vidattn.runs.failures import is_failure, up_to_date
from vidattn.runs.journal import Journal, journaled_records
from vidattn.runs.ledger import file_state
from vidattn.runs.parts import MANY_PARTS
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.work import Record
from vidattn.video.sources.addresses import is_remote, local_part

COMMAND = "index"


class IndexReport:
    """A JSON file of records, which is written once a run has finished.

    Until then the records are in a journal beside it. That of a run over other videos that was
    interrupted is not lost: its records count as if the report held them.

    Args:
        path: of the file.
        videos: of this run, in order.
        salvage: whether records must say which frames are damaged.
        overwrite: drop records of videos that are not among these, and of those that failed.
        retry_failed: drop records of those that failed.

    Attributes:
        known: number of a video -> a record of it that need not be made again.

    Raises:
        ArgumentError: the file is something else, or would lose records.
    """

    def __init__(
        self,
        path: str | Path,
        videos: Sequence[str],
        *,
        salvage: bool,
        overwrite: bool,
        retry_failed: bool = False,
    ) -> None:
        check_unused(path, overwrite=True)  # refuses folders
        self._path, self._videos = Path(path), videos
        self.retry_failed = overwrite or retry_failed
        self.many_parts = MANY_PARTS
        self._held = {**_read(self._path), **self._journaled()}
        if not overwrite:
            self._check_kept()
        self.known = {
            number: self._held[video]
            for number, video in enumerate(videos)
            if video in self._held
            and not is_remote(video)  # nothing tells whether it has changed
            and file_state(video) == self._held[video]["state"]
            and (not salvage or "salvage" in self._held[video])
            and (is_failure(self._held[video]) or "intra_frame_count" in self._held[video])
            and not (self.retry_failed and is_failure(self._held[video]))
        }

    @property
    def journal_folder(self) -> Path:
        """Beside the report, and named after it."""
        return self._path.with_name(f"{JOURNAL_FOLDER}-{self._path.name}")

    def begin(self, settings: Mapping[str, Any], *, shared: bool = False) -> bool:
        """Go on with the unfinished run of these settings, or begin one.

        Raises:
            ArgumentError: another run is unfinished, which a launcher's processes leave as it is.
        """
        try:
            Journal(self.journal_folder, settings)
        except ArgumentError:
            if shared:
                raise
            self._write(self._held)  # before its journal goes
            Journal.remove(self.journal_folder)
            Journal(self.journal_folder, settings)
        return True

    def keep_part(self, part: int, records: Mapping[int, Record]) -> None:
        """See `ResultFolder`."""

    def forget_part(self, records: Mapping[int, Record]) -> None:
        """See `ResultFolder`."""

    def finish(self, records: Mapping[int, Record]) -> None:
        """Write the report of all videos of the run, and forget the journal."""
        self._write({video: records[number] for number, video in enumerate(self._videos)})
        Journal.remove(self.journal_folder)

    def _write(self, records: Mapping[str, Record]) -> None:
        write_json(self._path, report_of(records))

    def _journaled(self) -> dict[str, Record]:
        """What the journal holds, by video: its records name them."""
        return {
            record["video"]: up_to_date(record)
            for _, record in journaled_records(self.journal_folder)
            if "video" in record
        }

    def _check_kept(self) -> None:
        """Refuse to drop records of videos that are still there but were not given this time."""
        others = self._held.keys() - set(self._videos)
        lost = sorted(name for name in others if _may_be_there(name))
        if lost:
            raise ArgumentError(
                f"report: {self._path} holds {len(lost)} videos that are not given now, such as "
                f"{lost[0]}; give them too, or another file; {OVERWRITE} drops them"
            )


def _may_be_there(video: str) -> bool:
    return is_remote(video) or os.path.exists(video) or os.path.exists(local_part(video))


def report_of(records: Mapping[str, Record]) -> dict[str, Any]:
    """What a report holds.

    Args:
        records: of each video, with its `state`.
    """
    failures = [record for record in records.values() if is_failure(record)]
    return {
        "command": COMMAND,
        "videos_expected": len(records),
        "videos_done": len(records) - len(failures),
        "videos_failed": len(failures),
        "failures": failures,
        "videos": [record for record in records.values() if not is_failure(record)],
    }


def _read(path: Path) -> dict[str, Record]:
    """Records of a report by video, also of one that an earlier version has written."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("command") != COMMAND and "videos_found" not in content:
            raise KeyError("command")
        records = [*content["videos"], *content.get("failures", [])]
        return {each["video"]: up_to_date(each) for each in records if each["state"] is not None}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArgumentError(
            f"report: {path} is no report of this command; nothing is written over it"
        ) from error
