"""Which groups of a run are left, and which video is to blame where a process was lost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from vidattn.runs.failures import failure
from vidattn.runs.work import Group, Record

# Before the second and third attempt, where the disk or the network failed.
PAUSES_SECONDS = (1.0, 5.0)

Done = Callable[[Mapping[int, Record]], None]


class Stream(Protocol):
    """Groups for one call of `Work.records`, and what came of them."""

    def take(self) -> Group | None:
        """The next group, which is in work from now on; None at the end."""

    @property
    def in_work(self) -> list[Group]:
        """Groups that were taken and have no record yet, in order."""

    def done(self, records: Mapping[int, Record]) -> None:
        """The first group in work has these records."""

    def lost(self, error: str, reason: str) -> None:
        """The process was lost, and with it what was found of the groups in work."""

    def trouble(self, reason: str) -> None:
        """The disk or the network failed at the first group in work; the call is over."""


class Schedule:
    """Groups of a run, until all are recorded or left undone.

    A group is in one of these states::

        waiting ──► in work ──► recorded
         ▲  ▲        │   │
         │  └────────┘   └─ process lost ──► suspected (see `_Suspect`) ──► recorded
         │   disk or network failed
         └── (after a pause; the third time: left undone)

    Args:
        groups: to be worked on, in order.
        record: called with records as they are final.
    """

    def __init__(self, groups: Iterable[Group], record: Done) -> None:
        self.record = record
        self.waiting = deque(groups)
        self._suspects: deque[_Suspect] = deque()
        self._paused: list[tuple[float, Group, int]] = []
        self._troubles: dict[tuple[int, ...], int] = {}
        self.undone: list[tuple[Group, str]] = []

    def stream(self) -> Stream | None:
        """Groups for a process that has nothing to do; None if there are none now."""
        self._end_pauses()
        if self._suspects:
            return self._suspects.popleft()
        return _Share(self) if self.waiting else None

    def seconds_to_pause(self) -> float | None:
        """Until a group's pause ends; None where no group pauses."""
        if not self._paused:
            return None
        return max(min(due for due, *_ in self._paused) - time.monotonic(), 0.0)

    def suspect(self, group: Group) -> None:
        """A process was lost while the group was in work."""
        self._suspects.append(_Suspect(self, group))

    def again(self, suspect: _Suspect) -> None:
        """A suspected group needs another attempt."""
        self._suspects.appendleft(suspect)

    def pause(self, group: Group, reason: str) -> None:
        """The disk or the network failed at this group: try it later, or leave it undone."""
        count = self._troubles[tuple(group)] = self._troubles.get(tuple(group), 0) + 1
        if count > len(PAUSES_SECONDS):
            self.undone.append((group, reason))
        else:
            due = time.monotonic() + PAUSES_SECONDS[count - 1]
            self._paused.append((due, group, count))

    def _end_pauses(self) -> None:
        now = time.monotonic()
        self.waiting.extend(group for due, group, _ in self._paused if due <= now)
        self._paused = [each for each in self._paused if each[0] > now]


class _Share:
    """Groups of the schedule, one after the other, for as long as there are any."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.in_work: list[Group] = []

    def take(self) -> Group | None:
        if not self._schedule.waiting:
            return None
        self.in_work.append(self._schedule.waiting.popleft())
        return self.in_work[-1]

    def done(self, records: Mapping[int, Record]) -> None:
        self.in_work.pop(0)
        self._schedule.record(records)

    def lost(self, error: str, reason: str) -> None:
        for group in self.in_work:
            self._schedule.suspect(group)
        self.in_work = []

    def trouble(self, reason: str) -> None:
        if self.in_work:
            self._schedule.pause(self.in_work.pop(0), reason)
        self._schedule.waiting.extendleft(reversed(self.in_work))
        self.in_work = []


class _Suspect:
    """A group that was in work when a process was lost: who is to blame?

    Each of its videos is tried alone, in a process of its own. One that loses that process too
    is to blame. The others then go through together, so that their records are what they would be
    if the one to blame had failed in the ordinary way. Where that loses the process once more,
    though each alone did not, the records of each alone count.
    """

    def __init__(self, schedule: Schedule, group: Group) -> None:
        self._schedule, self._group = schedule, group
        self._untried = deque([number] for number in group)
        self._alone: dict[int, Record] = {}
        self._blamed: set[int] = set()
        self.in_work: list[Group] = []
        self._given = False

    def take(self) -> Group | None:
        if self._given:
            return None
        self._given = True
        self.in_work = [self._untried.popleft() if self._untried else list(self._alone)]
        return self.in_work[0]

    def done(self, records: Mapping[int, Record]) -> None:
        [group] = self.in_work
        if self._is_alone(group):
            self._alone |= records
            self._next()
        else:
            self._schedule.record(records)
            self.in_work = []

    def lost(self, error: str, reason: str) -> None:
        [group] = self.in_work
        if self._is_alone(group):
            self._blamed.add(group[0])
            self._schedule.record({group[0]: failure(error, reason, attempts=2)})
            self._next()
        else:
            self._schedule.record(self._alone)
            self.in_work = []

    def trouble(self, reason: str) -> None:
        self._schedule.pause([each for each in self._group if each not in self._blamed], reason)
        self.in_work = []

    def _is_alone(self, group: Group) -> bool:
        return group[0] not in self._alone

    def _next(self) -> None:
        self.in_work = []
        if self._untried or len(self._alone) > 1:
            self._given = False
            self._schedule.again(self)
        elif self._alone:  # one that is left alone has been through as such
            self._schedule.record(self._alone)
