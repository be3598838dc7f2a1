"""The runner of every list of videos: a journal, processes, and what is left of an earlier run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vidattn.arrays import at_least
from vidattn.errors import ArgumentError, UndoneError
from vidattn.runs.executors import Engine, Executor, executor_of
from vidattn.runs.journal import FinishedElsewhereError, Journal
from vidattn.runs.leases import LOOK_SECONDS, Leases
from vidattn.runs.ledger import JournalPlace, Ledger
from vidattn.runs.limits import RunLimits
from vidattn.runs.parts import MANY_PARTS, Parts
from vidattn.runs.records import SHORT_LIST, Records, parts_known, parts_to_do_again
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.schedule import Schedule
from vidattn.runs.shards import shard_from_environment
from vidattn.runs.waiting import Tick, waiting
from vidattn.runs.work import Group, Record, Work
from vidattn.runs.worker import Worker
from vidattn.threads import threads_in_use

LOCAL = Engine()


def work_through(
    work: Work,
    groups: Sequence[Group],
    paths: Sequence[str | Path],
    *,
    output: JournalPlace | None,
    settings: Mapping[str, Any],
    processes: int = 1,
    engine: Engine = LOCAL,
    limits: RunLimits | None = None,
    imports: Sequence[str] = (),
    known: Mapping[int, Record] | None = None,
    description: str,
    progress: bool,
) -> Records | None:
    """Do the work that other processes leave to this one, and resume an earlier run.

    Child processes open the videos. If a video raises an error, ends its process, hangs or fills
    the memory, its failure is recorded (`vidattn.runs.failures`), and the run continues. Groups are
    always processed as a whole, so the records do not depend on the process.

    Any number of processes on any machines may call this with the same output folder. Each takes
    parts of the list (`vidattn.runs.leases`), and what one leaves when it dies another does.

    Args:
        groups: numbers of the videos that are worked on together: all of them, in order.
        paths: of each video; a record of a file that changed since is not used, where the list is
            short (`vidattn.runs.records.SHORT_LIST`) or the run had not finished its part of it.
        output: folder of the run, which holds its journal until it is finished; a run without one
            cannot be resumed.
        settings: all that the records depend on, and "threads": PyTorch threads in each process.
        processes: children that divide the work; 0 works in this process, without isolation. Each
            process of a launcher has one child.
        engine: where the children are: on this machine, or on a cluster.
        limits: what a video may take of its process, and how many may fail.
        imports: modules that the work needs besides its own, imported once for all children.
        known: records that need not be made again, by numbers.
        description: a word for the progress bar.

    Returns:
        number of the video -> record; None where another process writes the result.

    Raises:
        UndoneError: a disk or a network failed repeatedly for some of the videos.
        TooManyFailuresError: more videos have failed than `limits` allow.
        ProcessError: children cannot be started.
        VidattnError, OSError: what ended the run.
    """
    shard = shard_from_environment()
    if shard.count > 1 and (processes > 1 or output is None):
        raise ArgumentError(
            "processes: a launcher started several already; they need an output folder to share"
        )
    engine.check(shard, processes, settings.get("device", "cpu"))
    if output is not None and not output.begin(settings, shared=shard.count > 1):
        return None
    limits = limits or RunLimits()
    executor = executor_of(
        engine, shard, processes, limits=limits, threads=settings["threads"], imports=imports
    )
    try:
        with _journal_folder(output) as folder:
            journal = Journal(folder, settings)  # refuses other settings before anything starts
            parts = Parts(groups, MANY_PARTS if output is None else output.many_parts)
            run = _Run(work, parts, paths, journal, known or {}, limits, output)
            with waiting(description, len(paths), "videos", progress=progress) as tick:
                found = run.records(executor, tick)
            if found is not None and len(paths) <= SHORT_LIST:
                found.read_all()  # also because a run without an output has no folder from now on
            return found
    except FinishedElsewhereError:
        return None


@dataclass(frozen=True, eq=False)
class _Run:
    """What all processes of a run agree on."""

    work: Work
    parts: Parts
    paths: Sequence[str | Path]
    journal: Journal
    known: Mapping[int, Record]
    limits: RunLimits
    output: JournalPlace | None

    @property
    def retry_failed(self) -> bool:
        """Whether videos that gave no result are tried again."""
        return self.output is not None and self.output.retry_failed

    def records(self, executor: Executor, tick: Tick) -> Records | None:
        """Work until nothing is left; the records, if this process is to write the result."""
        worker = Worker(self.journal.folder)
        is_chosen = False
        try:
            leases = self._leases(worker)
            ledger = Ledger(
                self.journal,
                self.parts,
                self.paths,
                leases,
                known=self.known,
                limits=self.limits,
                tick=tick,
                output=self.output,
            )
            schedule = Schedule(ledger, ledger.record, self.paths)
            try:
                executor.work_on(self.work, schedule, ledger.part_done)
            finally:
                ledger.close()
            _check_all_done(schedule, self.paths)
            # The process that writes the result may die, and its journal goes once it is written.
            while not (is_chosen := leases.take_result()):
                time.sleep(LOOK_SECONDS)
        finally:
            if not is_chosen:  # else it lives until the result is written, or the process ends
                worker.close()
        return Records(self.journal, self.parts, self.known) if is_chosen else None

    def _leases(self, worker: Worker) -> Leases:
        again = parts_to_do_again(
            self.journal, self.parts, self.paths, self.known, retry_failed=self.retry_failed
        )
        finished = parts_known(self.parts, self.known)
        return Leases(self.journal, len(self.parts), worker, finished=finished, again=again)


def thread_count(threads: int | None, processes: int) -> int:
    """PyTorch threads in each process: `threads`, or else the cores divided by the processes.

    Raises:
        ArgumentError: the number is below 1.
    """
    if threads is None:
        return max(threads_in_use() // max(processes, 1), 1)
    return at_least("threads", threads, 1)


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


@contextmanager
def _journal_folder(output: JournalPlace | None) -> Iterator[Path]:
    if output is not None:
        yield output.journal_folder
        return
    with TemporaryDirectory(prefix="vidattn-") as folder:
        yield Path(folder) / JOURNAL_FOLDER
