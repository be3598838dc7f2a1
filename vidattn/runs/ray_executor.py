"""The work of a run on a Ray cluster: actors with child processes of their own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from vidattn.errors import MissingLibraryError, ProcessError, VidattnError
from vidattn.runs.isolation import Supervisor
from vidattn.runs.limits import RunLimits
from vidattn.runs.schedule import Schedule
from vidattn.runs.shards import Shard
from vidattn.runs.work import Group, Record, Work

# An actor gets more groups at once as long as it is done with them within so many seconds.
BATCH_SECONDS = 10.0
LARGEST_BATCH = 64
# Calls that an actor has waiting, so that it never waits for the driver.
CALLS_AHEAD = 2
# A group is left undone when so many actors were lost while they had it: no video is blamed.
MOST_LOSSES = 3
# Actors that are lost before the run gives up, for each one that it starts with.
MOST_RESTARTS = 10


@dataclass(frozen=True)
class Found:
    """What an actor returns of a batch.

    Attributes:
        records: numbers of videos -> records, in the order in which they were final.
        undone: groups that the disk or the network failed at, and why.
        seconds: that the batch took.
    """

    records: Sequence[Mapping[int, Record]]
    undone: Sequence[tuple[Group, str]]
    seconds: float


class _Batch:
    """The groups of one call, as a source of a schedule."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    def more(self) -> Sequence[Group]:
        given, self._groups = self._groups, ()
        return given

    def seconds_to_wait(self) -> float | None:
        return None


class BatchWorker:
    """Lives in an actor, and works on batches in a child process of it.

    A video that ends, blocks or fills the child costs a record, as on one machine. So a call never
    fails because of a video, and Ray, which would repeat such a call for ever, repeats none.
    """

    def __init__(
        self, work: Work, names: Sequence[str], limits: RunLimits, threads: int, imports: list[str]
    ) -> None:
        self._work, self._names, self._limits = work, names, limits
        self._threads, self._imports = threads, imports

    def work_on(self, groups: Sequence[Group]) -> Found:
        """Records of all videos of the groups, other than those left undone."""
        started = time.monotonic()
        records: list[Mapping[int, Record]] = []
        schedule = Schedule(_Batch(groups), records.append, self._names)
        Supervisor(
            self._work,
            schedule,
            part_done=lambda part: None,
            shards=[Shard()],
            limits=self._limits,
            threads=self._threads,
            imports=self._imports,
        ).run()
        return Found(records, schedule.undone, time.monotonic() - started)


@dataclass
class _Actor:
    """An actor, and the calls that it has not answered.

    Attributes:
        handle: of Ray.
        calls: reference of a call -> its groups, oldest first.
    """

    handle: Any
    calls: dict[Any, Sequence[Group]] = field(default_factory=dict)


@dataclass(frozen=True)
class RayCluster:
    """An executor whose processes are actors of Ray, on this machine or on a cluster.

    The machines need vidattn, the videos and the output folder under the same paths.

    Args:
        address: of a cluster; None starts Ray on this machine, for this run.
        workers: actors, with one child process each.
        limits: what a video may take of its process.
        threads: of torch in each child, and CPUs of each actor.
        imports: modules that children need, besides that of the work.
    """

    address: str | None
    workers: int
    limits: RunLimits
    threads: int
    imports: Sequence[str]

    def work_on(self, work: Work, schedule: Schedule, part_done: Callable[[float], None]) -> None:
        """See `Executor`."""
        if not schedule.fill() and schedule.seconds_to_wait() is None:
            return
        ray = _ray()
        was_there = ray.is_initialized()
        if not was_there:
            _start(ray, self.address, self.workers * self.threads)
        try:
            _Driver(ray, self, work, schedule).run()
        finally:
            if not was_there:
                ray.shutdown()


class _Driver:
    """Hands batches of groups to actors, and takes their records.

    A group is in one of these states::

        waiting ──► in a call ──► recorded, or left undone by its actor
           ▲            │
           └─ actor lost ┘ (the third time: left undone)
    """

    def __init__(self, ray: Any, cluster: RayCluster, work: Work, schedule: Schedule) -> None:
        self._ray, self._cluster, self._schedule = ray, cluster, schedule
        self._given = (
            ray.put(work), ray.put(list(map(str, schedule.names))), cluster.limits,
            cluster.threads, list(cluster.imports),
        )  # fmt: skip
        self._class = ray.remote(BatchWorker)
        self._actors: list[_Actor] = []
        self._losses: Counter[tuple[int, ...]] = Counter()
        self._restarts = 0
        self._batch = 1

    def run(self) -> None:
        """Return once nothing is left.

        Raises:
            VidattnError, OSError: what a child met that no video is to blame for.
            ProcessError: too many actors were lost.
        """
        try:
            while True:
                self._hand_out()
                calls = [call for actor in self._actors for call in actor.calls]
                if calls:
                    done, _ = self._ray.wait(calls, timeout=1.0)
                    for call in done:
                        self._take(call)
                elif (seconds := self._schedule.seconds_to_wait()) is not None:
                    time.sleep(seconds)
                elif not self._schedule.fill():
                    return
        finally:
            for actor in self._actors:
                self._ray.kill(actor.handle)

    def _hand_out(self) -> None:
        """Give each actor as many calls as it may have waiting; start those that are missing."""
        for ahead in range(1, CALLS_AHEAD + 1):
            for place in range(self._cluster.workers):
                if not self._schedule.fill():
                    return
                if place == len(self._actors):
                    self._actors.append(self._started())
                actor = self._actors[place]
                if len(actor.calls) < ahead:
                    groups = self._schedule.take(self._batch)
                    actor.calls[actor.handle.work_on.remote(groups)] = groups

    def _started(self) -> _Actor:
        options = {"num_cpus": self._cluster.threads, "max_restarts": 0, "max_task_retries": 0}
        return _Actor(self._class.options(**options).remote(*self._given))

    def _take(self, call: Any) -> None:
        """Take what a call found, or give its groups to another actor."""
        owner = next((each for each in self._actors if call in each.calls), None)
        if owner is None:  # its actor is lost, as an earlier call has said
            return
        try:
            found: Found = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, VidattnError | OSError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayActorError:
            self._lost(owner)
            return
        del owner.calls[call]
        if found.seconds < BATCH_SECONDS / 2:
            self._batch = min(self._batch * 2, LARGEST_BATCH)
        elif found.seconds > BATCH_SECONDS:
            self._batch = max(self._batch // 2, 1)
        for records in found.records:
            self._schedule.record(records)
        self._schedule.undone += found.undone

    def _lost(self, actor: _Actor) -> None:
        """An actor is no more: only the oldest of its calls can have had a part in it."""
        self._actors.remove(actor)
        self._restarts += 1
        if self._restarts > MOST_RESTARTS * self._cluster.workers:
            raise ProcessError(
                f"{self._restarts} actors of Ray were lost during this run; the same command "
                "resumes the run"
            )
        oldest, *others = actor.calls.values()
        for group in oldest:
            self._losses[tuple(group)] += 1
        lost = [each for each in oldest if self._losses[tuple(each)] >= MOST_LOSSES]
        reason = f"{MOST_LOSSES} actors of Ray were lost while they had it"
        self._schedule.undone += [(group, reason) for group in lost]
        again = [each for each in oldest if each not in lost]
        self._schedule.wait_again([*again, *(group for groups in others for group in groups)])
        self._batch = 1


def _start(ray: Any, address: str | None, cpus: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address is not None:
        ray.init(address=address, **quiet)
        return
    ray.init(num_cpus=cpus, include_dashboard=False, **quiet)


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingLibraryError(
            f"--engine ray needs Ray, which cannot be imported here ({error}); install it with "
            "`pip install 'vidattn[ray]'`"
        ) from error
