from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from vidattn.errors import ArgumentError
from vidattn.runs.journal import Journal
from vidattn.runs.processes import in_processes
from vidattn.runs.results import JOURNAL_FOLDER, ResultFolder
from vidattn.runs.shards import Shard, shard_from_environment
from vidattn.runs.waiting import Tick, waiting
from vidattn.threads import limited_threads, threads_in_use

Record = dict[str, Any]
Groups = Sequence[Sequence[int]]


class Work(Protocol):
    """What a run does with each video of a list; picklable where several processes share it."""

    def records(self, groups: Groups, shard: Shard) -> Iterator[Mapping[int, Record] | float]:
        """Work on groups of videos, by their numbers, in order.

        What is found of a group must not depend on the groups before it.

        Yields:
            number of the video -> what is to be known of it, JSON types; each video once, and
            the videos of a group together. Before that, perhaps, numbers: what part of a video
            was done since, to show that something moves.
        """


def work_through(
    work: Work,
    groups: Groups,
    paths: Sequence[Path],
    *,
    output: ResultFolder | None,
    settings: Mapping[str, Any],
    processes: int = 1,
    description: str,
    progress: bool,
) -> dict[int, Record] | None:
    """Do the whole work, or this process's share of it, going on where an earlier run stopped.

    Which groups a process does depends on their place in the list alone, and a group always
    goes through whole, so that records are the same whoever made them.

    Args:
        groups: numbers of the videos that are worked on together; each video in one of them.
        paths: of each video; a record of a file that changed since is not used.
        output: of the run, which keeps its journal there until it is finished; None: this run
            cannot be gone on with.
        settings: all that the records depend on, and "threads": of torch in each process.
        processes: started here to share the work. A launcher's processes share it too.
        description: a word for the progress bar.

    Returns:
        number of the video -> record; None where other processes of a launcher are still at
        work: the last one gets the records.
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
        states = [_state(path) for path in paths]
        arguments = (work, groups, states, folder, settings)
        mine = sum(len(group) for number, group in enumerate(groups) if shard.takes(number))
        with waiting(description, mine, "videos", progress=progress) as tick:
            if processes == 1:
                _share(shard, tick, *arguments)
            else:
                in_processes(processes, _share, *arguments, tick=tick)
        found = _fresh(journal, states)
    return found if len(found) == len(paths) else None


def thread_count(threads: int | None, processes: int) -> int:
    """Threads of torch in each process: as asked, else the machine's, shared out.

    Raises:
        ArgumentError: a number is below 1.
    """
    if processes < 1:
        raise ArgumentError(f"processes: expected at least 1, got {processes}")
    if threads is None:
        return max(threads_in_use() // processes, 1)
    if threads < 1:
        raise ArgumentError(f"threads: expected at least 1, got {threads}")
    return threads


def _share(
    shard: Shard,
    tick: Tick,
    work: Work,
    groups: Groups,
    states: Sequence[Sequence[int]],
    folder: Path,
    settings: Mapping[str, Any],
) -> None:
    """What one process does: the groups of its shard that no earlier run has done."""
    journal = Journal(folder, settings)
    known = _fresh(journal, states)
    mine = [group for number, group in enumerate(groups) if shard.takes(number)]
    left = [group for group in mine if any(number not in known for number in group)]
    tick(sum(map(len, mine)) - sum(map(len, left)))
    if not left:
        return
    with journal.writer() as writer, limited_threads(settings["threads"]):
        shown = 0.0
        for records in work.records(left, shard):
            if isinstance(records, float):
                shown += records
                tick(records)
                continue
            writer.write(
                {number: {**found, "state": states[number]} for number, found in records.items()}
            )
            tick(len(records) - shown)
            shown = 0.0


def _fresh(journal: Journal, states: Sequence[Sequence[int]]) -> dict[int, Record]:
    return {
        number: record for number, record in journal.records() if record["state"] == states[number]
    }


def _state(path: Path) -> list[int]:
    """What tells that a file changed; nothing where there is none."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


@contextmanager
def _journal_folder(output: ResultFolder | None) -> Iterator[Path]:
    if output is not None:
        yield output.journal_folder
        return
    with TemporaryDirectory(prefix="vidattn-") as folder:
        yield Path(folder) / JOURNAL_FOLDER
