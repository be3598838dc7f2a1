"""What an actor of Ray does: it passes batches of groups to a child process, which stays."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from vidattn.errors import ArgumentError
from vidattn.runs.isolation import Supervisor
from vidattn.runs.limits import RunLimits
from vidattn.runs.provenance import versions
from vidattn.runs.schedule import Schedule
from vidattn.runs.shards import Shard
from vidattn.runs.work import Group, Record, Work


@dataclass
class Found:
    """What an actor answers to a batch.

    Attributes:
        records: numbers of videos -> records, in the order in which they were final.
        undone: groups that the disk or the network failed at, and why.
        seconds: that the actor had for this batch, without those before it.
    """

    records: list[Mapping[int, Record]] = field(default_factory=list)
    undone: list[tuple[Group, str]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(eq=False)
class _Batch:
    groups: Sequence[Group]
    videos_left: int
    found: Found
    answer: Future[Found]


class BatchWorker:
    """Lives in an actor that takes several calls at once, and has one child process.

    A video that ends, blocks or fills the child costs a record, as on one machine. So a call never
    fails because of a video. The child goes on from one batch to the next, so that it loads a
    network once.

    Args:
        work: what is done with each group.
        names: of the videos, by number.
        limits: what a video may take of the child.
        threads: of torch in the child.
        imports: modules that the child needs, besides that of the work.
    """

    def __init__(
        self, work: Work, names: Sequence[str], limits: RunLimits, threads: int, imports: list[str]
    ) -> None:
        self._work, self._names, self._limits = work, names, limits
        self._threads, self._imports = threads, imports
        self._given: SimpleQueue[_Batch] = SimpleQueue()
        self._batch_of: dict[int, _Batch] = {}
        self._answered = time.monotonic()
        threading.Thread(target=self._serve, daemon=True).start()

    def begin(self, folder: str, expected: Mapping[str, str | None]) -> None:
        """Get ready to work where the program works that started the run.

        Args:
            folder: what relative paths are relative to.
            expected: versions of libraries there.

        Raises:
            ArgumentError: this machine has other versions, or no such folder.
        """
        machine = os.uname().nodename if hasattr(os, "uname") else "a machine"
        here = versions()
        other = {name: have for name, have in here.items() if have != expected[name]}
        if other:
            name, have = next(iter(other.items()))
            raise ArgumentError(
                f"engine: {machine} has {name} {have}, and this machine has {expected[name]}; all "
                "machines of the cluster need the same versions"
            )
        if not os.path.isdir(folder):
            raise ArgumentError(
                f"engine: {machine} has no folder {folder}; all machines of the cluster need the "
                "videos and the output folder under the same paths"
            )
        os.chdir(folder)

    def work_on(self, groups: Sequence[Group]) -> Found:
        """Records of all videos of the groups, other than those left undone.

        Raises:
            VidattnError, OSError: what no video is to blame for.
        """
        videos = sum(map(len, groups))
        batch = _Batch(groups, videos, Found(), Future())
        self._given.put(batch)
        return batch.answer.result()

    def more(self) -> Sequence[Group]:
        """Groups of the next batch: this is the source of the schedule of the child."""
        try:
            return self._taken(self._given.get_nowait())
        except Empty:
            return ()

    def seconds_to_wait(self) -> float | None:
        """See `vidattn.runs.schedule.Source`: a child with nothing to do ends."""
        return None

    def _taken(self, batch: _Batch) -> Sequence[Group]:
        self._batch_of |= {number: batch for group in batch.groups for number in group}
        return batch.groups

    def _serve(self) -> None:
        while True:
            groups = self._taken(self._given.get())
            try:
                self._supervise(groups)
            except BaseException as error:
                for batch in set(self._batch_of.values()):
                    batch.answer.set_exception(error)
                self._batch_of.clear()

    def _supervise(self, groups: Sequence[Group]) -> None:
        schedule = Schedule(self, self._record, self._names)
        schedule.wait_again(groups)
        Supervisor(
            self._work,
            schedule,
            part_done=lambda part: None,
            shards=[Shard()],
            limits=self._limits,
            threads=self._threads,
            imports=self._imports,
        ).run()
        for group, reason in schedule.undone:
            batch = self._batch_of[group[0]]
            batch.found.undone.append((group, reason))
            self._settled(batch, group)

    def _record(self, records: Mapping[int, Record]) -> None:
        batch = self._batch_of[next(iter(records))]
        batch.found.records.append(records)
        self._settled(batch, list(records))

    def _settled(self, batch: _Batch, numbers: Sequence[int]) -> None:
        for number in numbers:
            del self._batch_of[number]
        batch.videos_left -= len(numbers)
        if batch.videos_left == 0:
            now = time.monotonic()
            batch.found.seconds, self._answered = now - self._answered, now
            batch.answer.set_result(batch.found)
