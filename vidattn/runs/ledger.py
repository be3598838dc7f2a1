"""What a process takes of a run, part by part, and the records that it writes of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vidattn.errors import TooManyFailuresError
from vidattn.runs.failures import is_failure, up_to_date
from vidattn.runs.journal import SYNC_SECONDS, Journal
from vidattn.runs.leases import LOOK_SECONDS, Lease, Leases
from vidattn.runs.limits import RunLimits
from vidattn.runs.parts import Parts
from vidattn.runs.waiting import Tick
from vidattn.runs.work import Group, Record
from vidattn.video.sources.addresses import local_part

State = list[int]


class JournalPlace(Protocol):
    """Where a run keeps its journal until it is finished: a `ResultFolder`, for example.

    Attributes:
        retry_failed: videos that gave no result are tried again.
        many_parts: see `Parts`.
    """

    retry_failed: bool
    many_parts: int

    @property
    def journal_folder(self) -> Path:
        """Of this run's own."""

    def begin(self, settings: Mapping[str, Any], *, shared: bool = False) -> bool:
        """See `ResultFolder.begin`."""

    def keep_part(self, part: int, records: Mapping[int, Record]) -> None:
        """Write what there is to be written of a part of the list, which has all its records.

        It may be done twice, by two processes, with the same records.
        """

    def forget_part(self, records: Mapping[int, Record]) -> None:
        """That is done for good: remove what was needed for it."""


@dataclass
class _OpenPart:
    """A part that this process has taken.

    Attributes:
        lease: of the part.
        states: number of a video -> state of its file when the part was taken.
        left: numbers of the videos without a record.
        records: of the others.
    """

    lease: Lease
    states: Mapping[int, State]
    left: set[int]
    records: dict[int, Record] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(map(is_failure, self.records.values()))


class Ledger:
    """Takes parts for this process, keeps their records, and counts what all processes have done.

    Args:
        journal: of the run.
        parts: of the list.
        paths: of each video.
        leases: takes parts.
        known: records that need not be made, by the numbers of videos.
        limits: says how many videos may fail.
        tick: called with how many videos were done since.
        output: keeps the parts that are done.
    """

    def __init__(
        self,
        journal: Journal,
        parts: Parts,
        paths: Sequence[str | Path],
        leases: Leases,
        *,
        known: Mapping[int, Record],
        limits: RunLimits,
        tick: Tick,
        output: JournalPlace | None = None,
    ) -> None:
        self._journal, self._parts, self._paths, self._leases = journal, parts, paths, leases
        self._known, self._tick, self._output = known, tick, output
        self._retry_failed = output is not None and output.retry_failed
        self._limits = limits
        self._most_failures = limits.most_failures(len(paths))
        self._failed = sum(map(is_failure, known.values()))
        self._open: dict[int, _OpenPart] = {}
        self._shown = 0.0  # of videos that have no record yet
        self._synced = time.monotonic()
        self._count_others()

    def more(self) -> Sequence[Group]:
        """Groups of another part, which is this process's from now on; none if there is none now.

        Raises:
            FinishedElsewhereError: another process has finished the run.
        """
        while (lease := self._leases.take()) is not None:
            self._count_others()
            if groups := self._taken(lease):
                return groups
        self._count_others()
        return []

    def seconds_to_wait(self) -> float | None:
        """Until another process may leave a part to this one; None if all parts are done."""
        return None if self._leases.all_done else LOOK_SECONDS

    def part_done(self, part: float) -> None:
        """Show that so much of a video was done."""
        self._shown += part
        self._tick(part)

    def record(self, records: Mapping[int, Record]) -> None:
        """Keep the records of a group, or of some of its videos.

        Raises:
            TooManyFailuresError: more videos have failed than may.
        """
        part = self._open[next(iter(records))]
        whole = {
            number: {"video": str(self._paths[number]), **record, "state": part.states[number]}
            for number, record in records.items()
        }
        part.records.update(part.lease.writer.write(whole))
        for number in records:
            part.left.discard(number)
            del self._open[number]
        if not part.left:
            self._finish(part)
        self._tick(len(records) - self._shown)
        self._shown = 0.0
        self._failed += sum(map(is_failure, whole.values()))
        if self._failed > self._most_failures and any(map(is_failure, whole.values())):
            raise self._too_many(whole)

    def close(self) -> None:
        """Leave parts as they are; what is recorded of them counts for whoever takes them."""
        for part in {id(each): each for each in self._open.values()}.values():
            part.lease.writer.close()
        self._open.clear()

    def _taken(self, lease: Lease) -> list[Group]:
        """The groups of a part that lack records."""
        numbers = self._parts.numbers(lease.part)
        states = {number: file_state(self._paths[number]) for number in numbers}
        earlier = self._journal.part_records(lease.part, lease.generation - 1)
        known = {number: self._known[number] for number in numbers if number in self._known}
        found = {
            number: up_to_date(record)
            for number, record in earlier.items()
            if record.get("state") == states.get(number)
            and not (self._retry_failed and is_failure(record))
        }
        self._failed += sum(map(is_failure, found.values()))
        left = list(groups_left(self._parts[lease.part], {**known, **found}))
        part = _OpenPart(lease, states, {number for group in left for number in group}, found)
        self._tick(len(numbers) - len(part.left))
        for number in part.left:
            part.records.pop(number, None)  # of a group that is done again as a whole
            self._open[number] = part
        if not left:
            self._finish(part)
        return left

    def _finish(self, part: _OpenPart) -> None:
        if len(part.records) > 1 or time.monotonic() - self._synced > SYNC_SECONDS:
            part.lease.writer.sync()
            self._synced = time.monotonic()
        part.lease.writer.close()
        if self._output is not None:
            self._output.keep_part(part.lease.part, part.records)
        self._leases.finish(part.lease, len(part.states), part.failed)
        if self._output is not None:
            self._output.forget_part(part.records)

    def _count_others(self) -> None:
        """Count parts that are done, and not by this process since it started."""
        for part, failed in self._leases.news():
            self._tick(sum(map(len, self._parts[part])))
            self._failed += failed

    def _too_many(self, records: Mapping[int, Record]) -> TooManyFailuresError:
        last = next(record for record in records.values() if is_failure(record))
        return TooManyFailuresError(
            f"the run was stopped: {self._failed} of {len(self._paths)} videos have failed, more "
            f"than --maximum-failures {self._limits.maximum_failures} allows (the last: "
            f"{last['video']}: {last['reason']}); what is done is kept: the same command with a "
            "larger number continues, and --retry-failed tries the failed ones again"
        )


def groups_left(groups: Sequence[Group], found: Mapping[int, Record]) -> Iterator[Group]:
    """Groups that lack a record; without videos that have failed, which change no other's."""
    for group in groups:
        if any(number not in found for number in group):
            yield [each for each in group if each not in found or not is_failure(found[each])]


def file_state(path: str | Path) -> State:
    """What tells that a file of this machine changed; nothing where there is none."""
    for place in (path, local_part(path)):
        try:
            status = os.stat(place)
        except (OSError, ValueError):
            continue
        return [status.st_size, status.st_mtime_ns]
    return []
