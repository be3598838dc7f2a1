"""Who does the work of a run: this process, its children, or others that an engine starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vidattn.errors import ArgumentError
from vidattn.files import is_trouble
from vidattn.naming import choose
from vidattn.runs.isolation import Supervisor
from vidattn.runs.limits import RunLimits
from vidattn.runs.schedule import Schedule, Stream
from vidattn.runs.shards import Shard
from vidattn.runs.work import Record, Work
from vidattn.threads import limited_threads

ENGINES = ("local", "ray")
PartDone = Callable[[float], None]


class Executor(Protocol):
    """Has groups of videos worked on. It knows neither their list nor the journal or the results.

    What is found of a group must not depend on the executor.
    """

    def work_on(self, work: Work, schedule: Schedule, part_done: PartDone) -> None:
        """Return once no group of the schedule is left.

        Args:
            work: what is done with each group.
            schedule: gives groups, takes their records, and decides who is to blame where a
                process is lost.
            part_done: called with the parts of videos that were done since.

        Raises:
            VidattnError, OSError: what no video is to blame for.
        """


@dataclass(frozen=True)
class Engine:
    """Where the processes of a run are.

    Attributes:
        name: one of `ENGINES`.
        address: of a cluster; None starts one on this machine.

    Raises:
        ArgumentError, UnknownNameError: there is no such engine, or it has no address.
    """

    name: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        choose("engine", self.name, ENGINES)
        if self.address is not None and self.name == "local":
            raise ArgumentError("address: expected --engine ray, for the address of its cluster")

    def check(self, shard: Shard, processes: int, device: str) -> None:
        """Refuse what this engine does not do.

        Raises:
            ArgumentError: the message says what.
        """
        if self.name == "local":
            return
        if shard.count > 1:
            raise ArgumentError("engine: a launcher started several processes already")
        if processes == 0:
            raise ArgumentError(
                "engine: ray needs --processes 1 or more, and the checkpoint as a file"
            )
        if device != "cpu":
            raise ArgumentError(f"device: --engine ray works on CPUs only, got {device}")


def executor_of(
    engine: Engine,
    shard: Shard,
    processes: int,
    *,
    limits: RunLimits,
    threads: int,
    imports: Sequence[str],
) -> Executor:
    """The one that works where the engine says.

    Args:
        engine: already checked.
        shard: of this process among those of a launcher.
        processes: children; 0 for none.
        limits: what a video may take of its process.
        threads: of torch in each process.
        imports: modules that children need, besides that of the work.
    """
    if engine.name == "ray":
        from vidattn.runs.ray_executor import RayCluster

        return RayCluster(engine.address, processes, limits, threads, imports)
    if processes == 0:
        return ThisProcess(shard, threads)
    # Where a launcher started this process, its only child takes its place.
    shards = [shard] if processes == 1 else [Shard(r, processes, r) for r in range(processes)]
    return ChildProcesses(shards, limits, threads, imports)


@dataclass(frozen=True)
class ChildProcesses:
    """Works in children of this process: see `vidattn.runs.isolation.Supervisor`."""

    shards: Sequence[Shard]
    limits: RunLimits
    threads: int
    imports: Sequence[str]

    def work_on(self, work: Work, schedule: Schedule, part_done: PartDone) -> None:
        """See `Executor`. No child is started where nothing is left."""
        Supervisor(
            work,
            schedule,
            part_done=part_done,
            shards=self.shards,
            limits=self.limits,
            threads=self.threads,
            imports=self.imports,
        ).run()


@dataclass(frozen=True)
class ThisProcess:
    """Works in this process: whatever a video does to it ends the run."""

    shard: Shard
    threads: int

    def work_on(self, work: Work, schedule: Schedule, part_done: PartDone) -> None:
        """See `Executor`."""
        with limited_threads(self.threads):
            while True:
                stream = schedule.stream()
                if stream is None:
                    seconds = schedule.seconds_to_wait()
                    if seconds is None:
                        return
                    time.sleep(seconds)
                    continue
                for found in _records(work, stream, self.shard):
                    if isinstance(found, float):
                        part_done(found)
                    else:
                        stream.done(found)


def _records(work: Work, stream: Stream, shard: Shard) -> Iterator[Mapping[int, Record] | float]:
    """What a work finds; trouble that it meets is not that of whoever takes the records."""
    found = work.records(iter(stream.take, None), shard)
    while True:
        try:
            record = next(found)
        except StopIteration:
            return
        except Exception as error:
            if not is_trouble(error):
                raise
            stream.trouble(str(error))
            return
        yield record
