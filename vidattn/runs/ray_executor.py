"""The work of a run on a Ray cluster: actors with a child process each."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from vidattn.errors import ArgumentError, MissingLibraryError, ProcessError, VidattnError
from vidattn.runs.limits import RunLimits
from vidattn.runs.provenance import versions
from vidattn.runs.ray_worker import BatchWorker, Found
from vidattn.runs.schedule import Schedule
from vidattn.runs.work import Group, Work

# An actor gets more groups at once as long as it is done with them within so many seconds.
BATCH_SECONDS = 2.0
LARGEST_BATCH = 512
# Calls that an actor has at once, so that it never waits for the driver.
CALLS_AHEAD = 2
# A group is left undone when so many actors were lost while they had it: no video is blamed.
MOST_LOSSES = 3
# Actors that are lost before the run gives up, for each one that it starts with.
MOST_RESTARTS = 10
# Memory for what the driver and the actors send each other: the list, and records of batches.
STORE_BYTES = 2**29
ADDRESS_SECONDS = 10.0
# For Ray on this machine: it sends nothing to its makers, the limits of the run guard the memory,
# and actors give way to other programs no more than child processes do (Ray would give them 15).
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",
}


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
        """See `Executor`. Ray is not started where nothing is left."""
        if not schedule.fill() and schedule.seconds_to_wait() is None:
            return
        ray = _ray()
        is_ours = not ray.is_initialized()
        if is_ours:
            _start(ray, self.address, self.workers * self.threads)
        try:
            _check_size(ray, self.workers, self.threads)
            _Driver(ray, self, work, schedule).run()
        finally:
            if is_ours:
                ray.shutdown()


@dataclass
class _Actor:
    """An actor, and the calls that it has not answered.

    Attributes:
        handle: of Ray.
        ready: its first call; None once it is answered.
        calls: reference of a call -> its groups, oldest first.
    """

    handle: Any
    ready: Any
    calls: dict[Any, Sequence[Group]] = field(default_factory=dict)


class _Driver:
    """Hands batches of groups to actors, and takes their records.

    A group is in one of these states::

        waiting ──► in a call ──► recorded, or left undone by its actor
           ▲            │
           └─ actor lost ┘ (from then on in a call of its own; the third time: left undone)
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
            while self._hand_out():
                waiting = [call for actor in self._actors for call in actor.calls]
                waiting += [actor.ready for actor in self._actors if actor.ready is not None]
                if waiting:
                    done, _ = self._ray.wait(waiting, timeout=1.0)
                    for call in done:
                        self._take(call)
                else:
                    time.sleep(self._schedule.seconds_to_wait() or 0.0)
        finally:
            for actor in self._actors:
                self._ray.kill(actor.handle)

    def _hand_out(self) -> bool:
        """Give actors what they may have; whether anything is left."""
        for _ in range(CALLS_AHEAD):
            for place in range(self._cluster.workers):
                if not self._schedule.fill():
                    break
                if place == len(self._actors):
                    self._actors.append(self._started())
                actor = self._actors[place]
                if actor.ready is None and (groups := self._next_groups(actor)):
                    actor.calls[actor.handle.work_on.remote(groups)] = groups
        is_busy = any(actor.calls for actor in self._actors)
        return is_busy or self._schedule.fill() or self._schedule.seconds_to_wait() is not None

    def _started(self) -> _Actor:
        """An actor that has nothing to do yet: it may have to wait for a free machine."""
        handle = self._class.options(
            num_cpus=self._cluster.threads,
            max_concurrency=CALLS_AHEAD,
            max_restarts=0,
            max_task_retries=0,
        ).remote(*self._given)
        return _Actor(handle, handle.begin.remote(os.getcwd(), versions()))

    def _next_groups(self, actor: _Actor) -> list[Group]:
        """Groups for another call, if the actor may have one."""
        if len(actor.calls) == CALLS_AHEAD or any(map(self._is_suspect, actor.calls.values())):
            return []
        waiting = self._schedule.waiting
        if self._is_suspect([waiting[0]]):
            return [] if actor.calls else self._schedule.take(1)
        groups: list[Group] = []
        while len(groups) < self._batch and self._schedule.fill():
            if self._is_suspect([waiting[0]]):
                break
            groups += self._schedule.take(1)
        return groups

    def _is_suspect(self, groups: Sequence[Group]) -> bool:
        return bool(self._losses) and any(tuple(group) in self._losses for group in groups)

    def _take(self, call: Any) -> None:
        """Take what an actor answers, or give its groups to another one."""
        owner = next((each for each in self._actors if call in (each.ready, *each.calls)), None)
        if owner is None:  # its actor is lost, as an earlier call has said
            return
        try:
            found: Found | None = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, VidattnError | OSError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError:
            self._lost(owner)
            return
        if found is None:
            owner.ready = None
            return
        groups = owner.calls.pop(call)
        if found.seconds < BATCH_SECONDS / 2 and len(groups) == self._batch:
            self._batch = min(self._batch * 2, LARGEST_BATCH)
        elif found.seconds > BATCH_SECONDS:
            self._batch = max(self._batch // 2, 1)
        for records in found.records:
            self._schedule.record(records)
        self._schedule.undone += found.undone

    def _lost(self, actor: _Actor) -> None:
        """An actor is no more: other actors get its groups."""
        self._actors.remove(actor)
        self._ray.kill(actor.handle)  # it may only have been cut off
        self._restarts += 1
        if self._restarts > MOST_RESTARTS * self._cluster.workers:
            raise ProcessError(
                f"{self._restarts} actors of Ray were lost during this run; the same command "
                "resumes the run"
            )
        groups = [group for groups in actor.calls.values() for group in groups]
        self._losses.update(tuple(group) for group in groups)
        lost = [group for group in groups if self._losses[tuple(group)] == MOST_LOSSES]
        reason = f"{MOST_LOSSES} actors of Ray were lost while they had it"
        self._schedule.undone += [(group, reason) for group in lost]
        self._schedule.wait_again(group for group in groups if group not in lost)


def _start(ray: Any, address: str | None, cpus: int) -> None:
    """Start Ray on this machine, or join a cluster.

    Raises:
        ProcessError: the message has the words of Ray.
    """
    quiet = {"log_to_driver": False, "logging_level": "error"}
    own = {
        "address": "local",
        "num_cpus": cpus,
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
    }
    if address is not None:
        _check_address(address)
    try:
        with _environment():
            ray.init(**quiet, **(own if address is None else {"address": address}))
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address is None else f"at --address {address}"
        words = " ".join(str(error).split())
        raise ProcessError(f"Ray cannot be used {where}: {words}") from error


def _check_address(address: str) -> None:
    """Ray itself tries for ten minutes where nobody answers."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ArgumentError(f"address: expected auto or HOST:PORT of a Ray cluster, got {address}")
    try:
        socket.create_connection((host, int(port)), timeout=ADDRESS_SECONDS).close()
    except OSError as error:
        raise ProcessError(f"address: no Ray cluster answers at {address}: {error}") from error


@contextmanager
def _environment() -> Iterator[None]:
    """What Ray's own processes are told; a user's own settings hold."""
    added = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _check_size(ray: Any, workers: int, threads: int) -> None:
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < workers * threads:
        raise ArgumentError(
            f"processes: {workers} with --threads {threads} need {workers * threads} CPUs, and the "
            f"Ray cluster has {cpus}"
        )


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingLibraryError(
            f"--engine ray needs Ray, which cannot be imported here ({error}); install it with "
            "`pip install 'vidattn[ray]'`"
        ) from error
