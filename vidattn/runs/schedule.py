"""Which groups of a run are left, and which video is to blame where a process was lost."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
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

    def lost(self, error: str, reason: str, videos: Sequence[str] = ()) -> None:
        """The process was lost, and with it what was found of the groups in work.

        Args:
            error: name of a type.
            reason: in words.
            videos: names of those that it was perhaps at.
        """

    def trouble(self, reason: str) -> None:
        """The disk or the network failed at the first group in work; the call is over."""


class Source(Protocol):
    """Where a schedule gets its groups from."""

    def more(self) -> Sequence[Group]:
        """Groups of another part of the list; none if there are none now."""

    def seconds_to_wait(self) -> float | None:
        """Until there may be more; None if nothing more will come."""


class Schedule:
    """Groups of a run, until all are recorded or left undone.

    A group is in one of these states::

        waiting ──► in work ──► recorded
         ▲   ▲       │   │
         │   │       │   └─ process lost ──► on trial (see `_Trial`) ──► recorded, or waiting
         │   │       │
         │   └───────┘ another group failed
         └── pausing ◄── disk or network failed (the third time: left undone)

    Args:
        source: of groups to be worked on, in order; asked when none is waiting.
        record: called with records as they are final.
        names: of the videos, by number.
    """

    def __init__(self, source: Source, record: Done, names: Sequence[str | Path] = ()) -> None:
        self.record = record
        self.waiting: deque[Group] = deque()
        self._source = source
        self.names = names
        self._losses: Counter[int] = Counter()
        self._trials: deque[_Trial] = deque()
        self._paused: list[tuple[float, Group, int]] = []
        self._troubles: dict[tuple[int, ...], int] = {}
        self.undone: list[tuple[Group, str]] = []

    def stream(self) -> Stream | None:
        """Groups for a process that has nothing to do; None if there are none now."""
        self._end_pauses()
        if self._trials:
            return _Turn(self._trials.popleft())
        return _Share(self) if self.fill() else None

    def fill(self) -> bool:
        """Whether a group is waiting; the source is asked for more if none is."""
        if not self.waiting:
            self.waiting.extend(self._source.more())
        return bool(self.waiting)

    def take(self, count: int) -> list[Group]:
        """Up to so many waiting groups; whoever takes them calls `record` or `wait_again`."""
        return [self.waiting.popleft() for _ in range(count) if self.fill()]

    def seconds_to_wait(self) -> float | None:
        """Until there may be groups again; None if none will come.

        A run that leaves videos undone does not wait for what other processes leave.
        """
        now = time.monotonic()
        times = [max(due - now, 0.0) for due, *_ in self._paused]
        if not self.undone and (seconds := self._source.seconds_to_wait()) is not None:
            times.append(seconds)
        return min(times, default=None)

    def accuse(self, groups: Sequence[Group], videos: Container[str]) -> None:
        """A process was lost while these groups were in work.

        Args:
            videos: names of those that it was perhaps at.
        """
        numbers = [number for group in groups for number in group]
        self._losses.update(numbers)
        first = {each for each in numbers if self.names and str(self.names[each]) in videos}
        self._trials.append(_Trial(self, groups, first))

    def go_on(self, trial: _Trial) -> None:
        """A trial needs another process."""
        self._trials.appendleft(trial)

    def blame(self, number: int, error: str, reason: str) -> None:
        """This video has lost a process that it had for itself."""
        self.record({number: failure(error, reason, attempts=self._losses[number] + 1)})

    def wait_again(self, groups: Iterable[Group]) -> None:
        """These groups are next."""
        self.waiting.extendleft(reversed(list(groups)))

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
        if not self._schedule.fill():
            return None
        self.in_work.append(self._schedule.waiting.popleft())
        return self.in_work[-1]

    def done(self, records: Mapping[int, Record]) -> None:
        self.in_work.pop(0)
        self._schedule.record(records)

    def lost(self, error: str, reason: str, videos: Sequence[str] = ()) -> None:
        self._schedule.accuse(self.in_work, videos)
        self.in_work = []

    def trouble(self, reason: str) -> None:
        if self.in_work:
            self._schedule.pause(self.in_work.pop(0), reason)
        self._schedule.wait_again(self.in_work)
        self.in_work = []


class _Turn:
    """One group of a trial, for one process: the next turn is another process's."""

    def __init__(self, trial: _Trial) -> None:
        self._trial = trial
        self._is_given = False
        self.in_work: list[Group] = []

    def take(self) -> Group | None:
        if self._is_given:
            return None
        self._is_given = True
        self.in_work = [self._trial.next_group()]
        return self.in_work[0]

    def done(self, records: Mapping[int, Record]) -> None:
        self._trial.done(self.in_work.pop(), records)

    def lost(self, error: str, reason: str, videos: Sequence[str] = ()) -> None:
        self._trial.lost(self.in_work.pop(), error, reason)

    def trouble(self, reason: str) -> None:
        self._trial.trouble(self.in_work.pop(), reason)


class _Trial:
    """Groups that were in work when a process was lost: who is to blame?

    Each of their videos is tried alone, in a process of its own. The first one that loses that
    process too is to blame, and the others wait again, in their groups: what is found of them is
    what it would be if the one to blame had failed in the ordinary way. Where no video loses its
    process alone, each group is tried in a process of its own; if that is lost once more, what
    was found of each video alone counts.
    """

    def __init__(self, schedule: Schedule, groups: Sequence[Group], first: Container[int]) -> None:
        self._schedule = schedule
        numbers = [number for group in groups for number in group]
        self._untried = deque(sorted(numbers, key=lambda number: number not in first))
        self._groups = deque(groups)
        self._alone: dict[int, Record] = {}

    def next_group(self) -> Group:
        return [self._untried.popleft()] if self._untried else self._groups.popleft()

    def done(self, group: Group, records: Mapping[int, Record]) -> None:
        if self._is_alone(group):
            self._alone |= records
        else:
            self._schedule.record(records)
        self._next()

    def lost(self, group: Group, error: str, reason: str) -> None:
        if self._is_alone(group):
            self._schedule.blame(group[0], error, reason)
            self._untried.clear()
            self._schedule.wait_again(self._without(group[0]))
            self._groups.clear()
        else:
            self._schedule.record({number: self._alone[number] for number in group})
        self._next()

    def trouble(self, group: Group, reason: str) -> None:
        [whole] = [each for each in [group, *self._groups] if group[0] in each][-1:]
        self._schedule.pause(whole, reason)
        self._schedule.wait_again([each for each in self._groups if each is not whole])
        self._untried.clear()
        self._groups.clear()

    def _is_alone(self, group: Group) -> bool:
        return group[0] not in self._alone

    def _without(self, blamed: int) -> Iterator[Group]:
        for group in self._groups:
            if rest := [number for number in group if number != blamed]:
                yield rest

    def _next(self) -> None:
        while self._groups and len(self._groups[0]) == 1 and self._groups[0][0] in self._alone:
            [number] = self._groups.popleft()  # alone is what it always was
            self._schedule.record({number: self._alone[number]})
        if self._untried or self._groups:
            self._schedule.go_on(self)
