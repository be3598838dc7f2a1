"""The runner of every list of videos: a journal, processes, and what is left of an earlier run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from vidattn.arrays import at_least
from vidattn.errors import ArgumentError, UndoneError
from vidattn.files import is_trouble
from vidattn.runs.failures import is_failure, up_to_date
from vidattn.runs.isolation import Supervisor
from vidattn.runs.journal import Journal, JournalWriter
from vidattn.runs.limits import RunLimits
from vidattn.runs.results import JOURNAL_FOLDER
from vidattn.runs.schedule import Schedule
from vidattn.runs.shards import Shard, shard_from_environment
from vidattn.runs.waiting import Tick, waiting
from vidattn.runs.work import Group, Record, Work
from vidattn.threads import limited_threads, threads_in_use

State = Sequence[int]


class JournalPlace(Protocol):
    """Where a run keeps its journal until it is finished: a `ResultFolder`, for example."""

    @property
    def journal_folder(self) -> Path:
        """Of this run's own."""

    def begin(self, settings: Mapping[str, Any], *, shared: bool = False) -> bool:
        """See `ResultFolder.begin`."""


def work_through(
    work: Work,
    groups: Sequence[Group],
    paths: Sequence[str | Path],
    *,
    output: JournalPlace | None,
    settings: Mapping[str, Any],
    processes: int = 1,
    limits: RunLimits | None = None,
    imports: Sequence[str] = (),
    known: Mapping[int, Record] | None = None,
    description: str,
    progress: bool,
) -> dict[int, Record] | None:
    """Do the whole work, or this process's share of it, and resume an earlier run.

    Child processes open the videos. If a video raises an error, ends its process, hangs or fills
    the memory, its failure is recorded (`vidattn.runs.failures`), and the run continues. Groups are
    always processed as a whole, so the records do not depend on the process.

    Args:
        groups: numbers of the videos that are worked on together; each video in one of them.
        paths: of each video; a record of a file that changed since is not used.
        output: folder of the run, which holds its journal until it is finished; a run without one
            cannot be resumed.
        settings: all that the records depend on, and "threads": PyTorch threads in each process.
        processes: children that divide the work; 0 works in this process, without isolation. Each
            process of a launcher has one child.
        limits: what a video may take of its process.
        imports: modules that the work needs besides its own, imported once for all children.
        known: records that need not be made again, by numbers.
        description: a word for the progress bar.

    Returns:
        number of the video -> record; None where other processes of a launcher are still at
        work: the last one gets the records.

    Raises:
        UndoneError: a disk or a network failed repeatedly for some of the videos.
        ProcessError: children cannot be started.
        VidattnError, OSError: what ended the run.
    """
    shard = shard_from_environment()
    if shard.count > 1 and (processes > 1 or output is None):
        raise ArgumentError(
            "processes: a launcher started several already; they need an output folder to share"
        )
    if output is not None and not output.begin(settings, shared=shard.count > 1):
        return None
    with _journal_folder(output) as folder:
        journal = Journal(folder, settings)  # refuses other settings before anything is started
        states = [file_state(path) for path in paths]
        found = {**(known or {}), **_fresh(journal, states)}
        mine = [group for number, group in enumerate(groups) if shard.takes(number)]
        left = [*_left(mine, found)]
        with waiting(description, sum(map(len, mine)), "videos", progress=progress) as tick:
            tick(sum(map(len, mine)) - sum(map(len, left)))
            if left:
                with journal.writer() as writer:
                    ledger = _Ledger(writer, paths, states, found, tick)
                    schedule = Schedule(left, ledger.record, list(map(str, paths)))
                    if processes == 0:
                        _work_here(work, schedule, ledger, shard, settings["threads"])
                    else:
                        Supervisor(
                            work,
                            schedule,
                            part_done=ledger.part_done,
                            shards=_shards(shard, processes),
                            limits=limits or RunLimits(),
                            threads=settings["threads"],
                            imports=imports,
                        ).run()
                _check_all_done(schedule, paths)
        if shard.count > 1:
            found |= _fresh(journal, states)
    return found if len(found) == len(paths) else None


def thread_count(threads: int | None, processes: int) -> int:
    """PyTorch threads in each process: `threads`, or else the cores divided by the processes.

    Raises:
        ArgumentError: the number is below 1.
    """
    if threads is None:
        return max(threads_in_use() // max(processes, 1), 1)
    return at_least("threads", threads, 1)


class _Ledger:
    """Takes the records of a run."""

    def __init__(
        self,
        writer: JournalWriter,
        paths: Sequence[str | Path],
        states: Sequence[State],
        found: dict[int, Record],
        tick: Tick,
    ) -> None:
        self._writer, self._paths, self._states = writer, paths, states
        self._found, self._tick = found, tick
        self._shown = 0.0  # of videos that have no record yet

    def part_done(self, part: float) -> None:
        """Show that so much of a video was done."""
        self._shown += part
        self._tick(part)

    def record(self, records: Mapping[int, Record]) -> None:
        """Keep the records of whole groups."""
        whole = {
            number: {"video": str(self._paths[number]), **record, "state": self._states[number]}
            for number, record in records.items()
        }
        self._found.update(self._writer.write(whole))
        self._tick(len(records) - self._shown)
        self._shown = 0.0


def _work_here(work: Work, schedule: Schedule, ledger: _Ledger, shard: Shard, threads: int) -> None:
    """Work in this process: whatever a video does to it ends the run."""
    with limited_threads(threads):
        while True:
            stream = schedule.stream()
            if stream is None:
                pause = schedule.seconds_to_pause()
                if pause is None:
                    return
                time.sleep(pause)
                continue
            try:
                for found in work.records(iter(stream.take, None), shard):
                    if isinstance(found, float):
                        ledger.part_done(found)
                    else:
                        stream.done(found)
            except Exception as error:
                if not is_trouble(error):
                    raise
                stream.trouble(str(error))


def _left(groups: Sequence[Group], found: Mapping[int, Record]) -> Iterator[Group]:
    """Groups that lack a record; without videos that have failed, which change no other's."""
    for group in groups:
        if any(number not in found for number in group):
            yield [each for each in group if each not in found or not is_failure(found[each])]


def _shards(shard: Shard, processes: int) -> list[Shard]:
    """Of each child: where a launcher started this process, its only child takes its place."""
    if processes == 1:
        return [shard]
    return [Shard(rank, processes, local_rank=rank) for rank in range(processes)]


def _check_all_done(schedule: Schedule, paths: Sequence[str | Path]) -> None:
    if not schedule.undone:
        return
    group, reason = schedule.undone[0]
    count = sum(len(group) for group, _ in schedule.undone)
    named = reason if str(paths[group[0]]) in reason else f"{paths[group[0]]}: {reason}"
    raise UndoneError(
        f"{count} of {len(paths)} videos are left undone, for the disk or the network failed "
        f"({named}); the same command tries them again"
    )


def _fresh(journal: Journal, states: Sequence[State]) -> dict[int, Record]:
    return {
        number: up_to_date(record)
        for number, record in journal.records()
        if record["state"] == states[number]
    }


def file_state(path: str | Path) -> list[int]:
    """What tells that a file changed; nothing where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return []
    return [status.st_size, status.st_mtime_ns]


@contextmanager
def _journal_folder(output: JournalPlace | None) -> Iterator[Path]:
    if output is not None:
        yield output.journal_folder
        return
    with TemporaryDirectory(prefix="vidattn-") as folder:
        yield Path(folder) / JOURNAL_FOLDER
