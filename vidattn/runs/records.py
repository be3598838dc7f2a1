"""The records of a finished run, in memory or one part after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vidattn.runs.failures import is_failure, up_to_date
from vidattn.runs.journal import Journal
from vidattn.runs.ledger import file_state
from vidattn.runs.parts import Parts
from vidattn.runs.work import Record

# Lists up to this length are looked through as a whole when a run starts and when it ends. Of
# longer ones nothing is read that is done.
SHORT_LIST = 10_000


class Records(Mapping[int, Record]):
    """Number of a video -> record, read from the journal; of a long list a part at a time.

    Args:
        journal: of a run that has all records.
        parts: of its list.
        known: records that the run did not make.
    """

    def __init__(self, journal: Journal, parts: Parts, known: Mapping[int, Record]) -> None:
        self._journal, self._parts, self._known = journal, parts, known
        self._states = journal.parts()
        self._starts = [parts[part][0][0] for part in range(len(parts))]
        self._read: tuple[int, dict[int, Record]] = (-1, {})
        self._all: dict[int, Record] | None = None

    def read_all(self) -> None:
        """Hold all records from now on; the journal is not needed any more."""
        self._all = {number: self[number] for number in self}

    def __getitem__(self, number: int) -> Record:
        if self._all is not None:
            return self._all[number]
        if number in self._known:
            return self._known[number]
        part = bisect_right(self._starts, number) - 1
        if part != self._read[0]:
            self._read = part, self._part(part)
        return self._read[1][number]

    def __iter__(self) -> Iterator[int]:
        return (number for group in self._parts.groups for number in group)

    def __len__(self) -> int:
        return sum(map(len, self._parts.groups))

    def failures(self) -> Iterator[Record]:
        """Records of videos that gave no result, in order; only parts that have some are read."""
        for part in range(len(self._parts)):
            state = self._states.get(part)
            if state and state.failed == 0:
                continue
            for number in self._parts.numbers(part):
                if is_failure(self[number]):
                    yield self[number]

    def _part(self, part: int) -> dict[int, Record]:
        state = self._states.get(part)
        found = self._journal.part_records(part, state.generation if state else 0)
        return {number: up_to_date(record) for number, record in found.items()}


def parts_known(parts: Parts, known: Mapping[int, Record]) -> set[int]:
    """Parts of which all records are known already."""
    if not known:
        return set()
    return {
        part for part in range(len(parts)) if all(number in known for number in parts.numbers(part))
    }


def parts_to_do_again(
    journal: Journal,
    parts: Parts,
    paths: Sequence[str | Path],
    known: Mapping[int, Record],
    *,
    retry_failed: bool,
) -> set[int]:
    """Parts that are done, and are to be done once more.

    Those with failures that shall be tried again and, where the list is short, those with a video
    that has changed since or with a record that a power cut has taken.
    """
    states = {part: state for part, state in journal.parts().items() if part < len(parts)}
    done = {part: state for part, state in states.items() if state.is_done}
    again = {part for part, state in done.items() if retry_failed and state.failed}
    if len(paths) > SHORT_LIST:
        return again
    for part in done.keys() - again:
        found = journal.part_records(part, done[part].generation)
        for number in parts.numbers(part):
            record = known.get(number) or found.get(number)
            if record is None or record.get("state") != file_state(paths[number]):
                again.add(part)
    return again
