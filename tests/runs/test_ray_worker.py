"""What an actor of Ray does with batches, without Ray."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.runs.acting_work import ActingWork
from tests.runs.test_leases import wait_until
from vidattn.errors import ArgumentError
from vidattn.runs.limits import RunLimits
from vidattn.runs.provenance import versions
from vidattn.runs.ray_worker import BatchWorker


def worker_of(names: list[str], folder: Path) -> BatchWorker:
    (folder / "attempts").mkdir()
    work = ActingWork(names, folder / "attempts")
    return BatchWorker(work, names, RunLimits(video_seconds=30), 1, [])


def ids_of_children(folder: Path, name: str) -> set[str]:
    return {mark.suffix for mark in (folder / "attempts").glob(f"{name}.*")}


def test_one_child_goes_on_from_batch_to_batch(tmp_path: Path) -> None:
    names = ["gate-1", "b", "c", "d"]
    worker = worker_of(names, tmp_path)
    with ThreadPoolExecutor(2) as driver:
        first = driver.submit(worker.work_on, [[0], [1]])
        wait_until(lambda: ids_of_children(tmp_path, "gate-1"))
        # A driver has the next call there while the first one is in work.
        second = driver.submit(worker.work_on, [[2, 3]])
        wait_until(lambda: worker._given.qsize() == 1)
        (tmp_path / "open").touch()
        found = first.result(60), second.result(60)
    assert found[0].records == [{0: {"with": ["gate-1"]}}, {1: {"with": ["b"]}}]
    assert found[1].records == [{2: {"with": ["c", "d"]}, 3: {"with": ["c", "d"]}}]
    assert [each.undone for each in found] == [[], []]
    assert len(set.union(*(ids_of_children(tmp_path, name) for name in names))) == 1


@pytest.mark.slow  # the disk is given six seconds
def test_each_batch_is_answered_with_what_is_its_own(tmp_path: Path) -> None:
    names = ["a", "kill", "stale", "b"]
    found = worker_of(names, tmp_path).work_on([[0, 1], [2], [3]])
    records = {number: record for each in found.records for number, record in each.items()}
    assert records[0] == {"with": ["a"]}
    assert (records[1]["error"], records[1]["attempts"]) == ("ProcessError", 2)
    assert records[3] == {"with": ["b"]}
    [(group, reason)] = found.undone
    assert list(group) == [2]
    assert "Stale file handle" in reason


def test_what_no_video_is_to_blame_for_ends_the_call(tmp_path: Path) -> None:
    worker = worker_of(["a", "wrong"], tmp_path)
    with pytest.raises(ArgumentError, match="hop: expected at most 8"):
        worker.work_on([[0], [1]])
    assert worker.work_on([[0]]).records == [{0: {"with": ["a"]}}]


def test_a_machine_with_other_versions_or_without_the_folder_is_refused(tmp_path: Path) -> None:
    worker = worker_of(["a"], tmp_path)
    here = os.getcwd()
    with pytest.raises(ArgumentError, match=r"has torch .*, and this machine has 0\.1; all"):
        worker.begin(here, versions() | {"torch": "0.1"})
    with pytest.raises(ArgumentError, match=r"has no folder .*nowhere"):
        worker.begin(str(tmp_path / "nowhere"), versions())
    worker.begin(here, versions())
