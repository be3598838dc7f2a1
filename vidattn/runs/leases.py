"""Parts of a run, each taken by one of the processes that share a folder: no server decides."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from vidattn.runs.journal import Journal, JournalWriter
from vidattn.runs.worker import Watch, Worker

# How often a process with nothing to do looks at what the others do.
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Lease:
    """A part that this process works on, and the file that it alone writes the records of.

    Attributes:
        part: number.
        generation: how many processes have taken the part so far, this one included.
    """

    part: int
    generation: int
    writer: JournalWriter


class Leases:
    """Takes parts of a run.

    A part is in one of these states; `n` counts the processes that have taken it::

        free ──► taken (n = 1) ──► done
                   │     ▲
                   │     └──────── n + 1 ◄─┐
                   └─ process is gone ─────┘

    A part is taken by creating its next file of records, which exists once only on every file
    system, network file systems included. Nothing is ever renamed or removed, so that a process
    that was slow cannot take what has changed since it looked. A process that was taken for dead
    and wakes up writes into its own file, and finds the same as the one that took over.

    Args:
        journal: of the run.
        count: of the parts; one more, which can be taken after all others, is the result.
        worker: this process.
        finished: parts that need no work.
        again: parts that are done, and are to be done once more.
    """

    def __init__(
        self,
        journal: Journal,
        count: int,
        worker: Worker,
        *,
        finished: Collection[int] = (),
        again: Collection[int] = (),
    ) -> None:
        self._journal, self._count, self._worker = journal, count, worker
        self._watch = Watch(worker)
        states = journal.parts()
        self._again = {part: states[part].generation for part in again}
        self._owners: dict[tuple[int, int], str] = {}
        self._free: deque[tuple[int, int]] = deque()
        self._looked = float("-inf")
        self._done = set(finished)
        self._news: deque[tuple[int, int]] = deque((part, 0) for part in finished)
        self._look()

    def take(self) -> Lease | None:
        """A part that nobody works on; None if there is none now."""
        is_due = time.monotonic() - self._looked >= LOOK_SECONDS
        if not self._free and is_due and not self.all_done:
            self._look()
        while self._free:
            part, generation = self._free.popleft()
            writer = self._journal.writer(part, generation, self._worker.token)
            if writer is not None:
                return Lease(part, generation, writer)
        return None

    def finish(self, lease: Lease, videos: int, failed: int) -> None:
        """All videos of the part have their records; `failed` of them gave no result."""
        self._journal.mark_done(lease.part, lease.generation, videos, failed)
        self._done.add(lease.part)

    def news(self) -> Iterator[tuple[int, int]]:
        """Parts found to be done by others since the last call, with their videos that failed."""
        while self._news:
            yield self._news.popleft()

    @property
    def all_done(self) -> bool:
        """Whether all parts are done, as far as this process has looked."""
        return len(self._done) == self._count

    def take_result(self) -> bool:
        """Whether this process writes the result, once all parts are done."""
        state = self._journal.parts().get(self._count)
        if state and not self._is_gone(self._count, state.generation):
            return False
        generation = state.generation + 1 if state else 1
        writer = self._journal.writer(self._count, generation, self._worker.token)
        if writer is None:
            return False
        writer.close()
        return True

    def _look(self) -> None:
        """See which parts are done or free, and which belong to processes that are gone."""
        states = self._journal.parts()
        self._looked = time.monotonic()
        for part in range(self._count):
            if part in self._done:
                continue
            state = states.get(part)
            if state is None:
                self._free.append((part, 1))
            elif state.failed is not None and state.generation > self._again.get(part, 0):
                self._done.add(part)
                self._news.append((part, state.failed))
            elif state.is_done or self._is_gone(part, state.generation):
                self._free.append((part, state.generation + 1))

    def _is_gone(self, part: int, generation: int) -> bool:
        key = (part, generation)
        if not self._owners.get(key):
            self._owners[key] = self._journal.owner(*key)
        # A process that ended between creating a file and writing its name is one without a name.
        return self._watch.is_gone(self._owners[key] or f"of-{part}-{generation}")
