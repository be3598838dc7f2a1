"""Processes share a run without a server, and no part of it is lost with a process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vidattn.runs import leases, worker
from vidattn.runs.journal import Journal, journaled_records
from vidattn.runs.leases import Leases
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.worker import Worker


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(leases.time, "monotonic", own.monotonic)
    return own


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run", {"threads": 1})


def other_machine(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> tuple[Worker, Leases]:
    """A process of which this one sees no more than its files."""
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_space", lambda: "another machine")
        own = Worker(journal.folder, lease_seconds=1e6)  # it beats when the test says so
    return own, Leases(journal, 3, own)


def test_a_part_is_one_process_s_until_that_process_ends(journal: Journal) -> None:
    mine, theirs = Worker(journal.folder), Worker(journal.folder)
    first, second = Leases(journal, 2, mine), Leases(journal, 2, theirs)
    taken = [first.take(), second.take(), first.take(), second.take()]
    assert [(each.part, each.generation) if each else None for each in taken] == [
        (0, 1), (1, 1), None, None
    ]  # fmt: skip
    assert taken[0] is not None
    first.finish(taken[0], 1, failed=0)
    assert not first.all_done
    theirs.close()
    last = Leases(journal, 2, mine).take()
    assert last is not None
    assert (last.part, last.generation) == (1, 2)
    mine.close()


def test_another_machine_is_gone_once_it_has_not_moved_for_long_by_this_clock(
    journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, their_leases = other_machine(journal, monkeypatch)
    assert their_leases.take() is not None
    mine = Worker(journal.folder, lease_seconds=60)
    watch = worker.Watch(mine)
    file = journal.folder / f"{worker.PREFIX}{theirs.token}"
    assert not watch.is_gone(theirs.token)
    for step in range(5):  # its clock is wrong by hours, in either direction, and it beats
        clock.now += 50
        monkeypatch.setattr(worker, "_space", lambda: "another machine")
        theirs._write(str(step + 1))
        monkeypatch.undo()
        monkeypatch.setattr(leases.time, "monotonic", clock.monotonic)
        os.utime(file, (0, (-1) ** step * 1e6 + 1e9))
        assert not watch.is_gone(theirs.token)
    clock.now += 59
    assert not watch.is_gone(theirs.token)
    clock.now += 1
    assert watch.is_gone(theirs.token)


def test_a_process_of_this_machine_is_gone_when_it_is_no_more(journal: Journal) -> None:
    script = "import sys; from pathlib import Path; from vidattn.runs.worker import Worker\n"
    script += "print(Worker(Path(sys.argv[1])).token, flush=True); sys.stdin.read()"
    watch = worker.Watch(Worker(journal.folder))
    with subprocess.Popen(
        [sys.executable, "-c", script, journal.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        token = other.stdout.readline().strip()
        assert not watch.is_gone(token)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # nobody has asked for it yet
        assert watch.is_gone(token)


def test_a_slow_process_cannot_take_what_was_taken_since_it_looked(journal: Journal) -> None:
    gone = Worker(journal.folder)
    assert Leases(journal, 1, gone).take() is not None
    gone.close()
    one, other = Worker(journal.folder), Worker(journal.folder)
    looked, also = Leases(journal, 1, one), Leases(journal, 1, other)
    assert looked.take() is not None
    assert also.take() is None


def start(
    folder: Path,
    *names: str,
    lease: str = "0",
    machine: str = "this",
    engine: str = "local",
    processes: int = 1,
) -> Any:
    (folder / "attempts").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.runs.sharing", folder, lease, machine, engine]
    command += [processes, *names]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def acted(folder: Path) -> list[str]:
    """Names of videos, once for each time that they were worked on."""
    return [path.name.partition(".")[0] for path in (folder / "attempts").iterdir()]


def whole(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "out" / "act.json").read_text())["records"]


def expected(names: list[str]) -> list[dict[str, Any]]:
    return [{"video": name, "with": [name], "state": []} for name in names]


def test_three_processes_do_each_video_once_and_one_writes_the_result(tmp_path: Path) -> None:
    names = ["gate-1", *(f"slow-{number}" for number in range(30))]
    running = [start(tmp_path, *names) for _ in range(3)]
    wait_until(lambda: len(list(tmp_path.glob(f"out/{JOURNAL_FOLDER}/worker-*"))) == 3)
    (tmp_path / "open").touch()
    ends = [each.communicate(timeout=60) for each in running]
    assert [error for _, error in ends] == ["", "", ""]
    said = sorted(words.strip() for words, _ in ends)
    assert said == ["no result", "no result", "result"]
    assert whole(tmp_path) == expected(names)
    assert Counter(acted(tmp_path)) == Counter(names)


@pytest.mark.parametrize(("machine", "lease"), [("this", "60"), ("another", "1.5")])
def test_what_a_killed_process_leaves_another_does(
    machine: str, lease: str, tmp_path: Path
) -> None:
    names = ["gate-1", *(f"slow-{number}" for number in range(12))]
    first = start(tmp_path, *names, lease=lease, machine=machine)
    wait_until(lambda: "gate-1" in acted(tmp_path))
    other = start(tmp_path, *names, lease=lease, machine="this" if machine == "this" else "mine")
    wait_until(lambda: len(acted(tmp_path)) == len(names))
    assert other.poll() is None  # it waits for what the first one is at
    first.kill()
    first.communicate()
    (tmp_path / "open").touch()
    words, errors = other.communicate(timeout=60)
    assert (words.strip(), errors) == ("result", "")
    assert whole(tmp_path) == expected(names)
    assert Counter(acted(tmp_path)) == Counter(names) + Counter({"gate-1": 1})


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_random_moments_ends_the_same_and_repeats_nothing(
    kills: int, tmp_path: Path
) -> None:
    names = [f"slow-{number}" for number in range(12 * kills)]
    chance = random.Random(kills)
    for _ in range(kills):
        journal = tmp_path / "out" / JOURNAL_FOLDER
        recorded = {names[number] for number, _ in journaled_records(journal)}
        before = Counter(acted(tmp_path)) if recorded else Counter()
        running = start(tmp_path, *names)
        count = len(acted(tmp_path))
        wait_until(lambda count=count: len(acted(tmp_path)) > count)
        time.sleep(chance.uniform(0, 0.3))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        again = Counter(acted(tmp_path)) - before
        assert not recorded & set(again), "what has a record is not worked on again"
    words, errors = start(tmp_path, *names).communicate(timeout=120)
    assert (words.strip(), errors) == ("result", "")
    assert whole(tmp_path) == expected(names)
    assert len(acted(tmp_path)) <= len(names) + 2 * kills


def wait_until(is_so: Any) -> None:
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < 60
        time.sleep(0.02)
