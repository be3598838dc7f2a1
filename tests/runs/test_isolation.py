"""A video that crashes, blocks or fills its process costs a record, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs.acting_work import ActingWork
from vidattn.errors import ArgumentError, ProcessError, UndoneError
from vidattn.runs import schedule
from vidattn.runs.limits import RunLimits
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import work_through
from vidattn.runs.work import Record

Run = Callable[..., dict[int, Record]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a work over videos of these names, in groups of so many."""

    def start(
        *names: str,
        size: int = 1,
        limits: RunLimits | None = None,
        overwrite: bool = False,
        **more: Any,
    ) -> Any:
        (tmp_path / "attempts").mkdir(exist_ok=True)
        numbers = list(range(len(names)))
        return work_through(
            ActingWork(names, tmp_path / "attempts"),
            [numbers[start : start + size] for start in range(0, len(names), size)],
            names,
            output=ResultFolder(tmp_path / "out", "act", "act.json", overwrite=overwrite),
            settings={"threads": 1, "names": names},
            limits=limits or RunLimits(),
            description="acting",
            progress=False,
            **more,
        )

    return start


@pytest.fixture
def attempts(tmp_path: Path) -> Callable[[str], int]:
    return lambda name: len(list((tmp_path / "attempts").glob(f"{name}.*")))


def failures(found: dict[int, Record]) -> dict[str, tuple[str, str, int]]:
    return {
        record["video"]: (record["error"], record["reason"], record["attempts"])
        for record in found.values()
        if "error" in record
    }


@pytest.mark.parametrize("processes", [1, 2])
def test_each_way_to_be_lost_costs_one_record(
    processes: int, run: Run, attempts: Callable[[str], int]
) -> None:
    names = ["a", "kill", "b", "exit", "broken", "c", "raise", "d", "once", "e"]
    found = run(*names, processes=processes)
    assert failures(found) == {
        "kill": ("ProcessError", "its process was killed by SIGKILL", 2),
        "exit": ("ProcessError", "its process ended with exit code 3", 2),
        "raise": ("ZeroDivisionError", "a wrong aspect", 2),
        "broken": ("NotAVideoError", "no video", 1),
    }
    assert [found[names.index(name)]["with"] for name in ("a", "once", "e")] == [
        ["a"],
        ["once"],
        ["e"],
    ]
    before = {name: attempts(name) for name in names}
    assert before == dict.fromkeys(names, 1) | {"kill": 2, "exit": 2, "raise": 2, "once": 2}
    assert run(*names, processes=processes) == found  # nothing is tried again
    assert {name: attempts(name) for name in names} == before


def test_a_video_that_blocks_or_fills_the_memory_is_given_up(run: Run) -> None:
    found = run("a", "hang", "b", limits=RunLimits(video_seconds=1.0))
    reason = "nothing moved for 1 s (--video-seconds)"
    assert failures(found) == {"hang": ("LimitError", reason, 2)}
    found = run("a", "eat", "c", limits=RunLimits(video_memory="1GB"), overwrite=True)
    reason = "it took more than 1.0 GB of memory (--video-memory)"
    assert failures(found) == {"eat": ("LimitError", reason, 2)}
    assert sorted(found) == [0, 1, 2]


def test_a_long_video_that_moves_is_not_given_up(run: Run) -> None:
    found = run("long", limits=RunLimits(video_seconds=1.5))  # it takes 3 seconds
    assert failures(found) == {}


def test_a_group_without_its_crashing_video_is_what_it_is_with_a_broken_one(
    run: Run, tmp_path: Path
) -> None:
    names = ["a", "kill", "b", "c", "d", "e"]
    found = run(*names, size=3)
    assert found[0]["with"] == ["a", "b"]
    assert found[3]["with"] == ["c", "d", "e"]
    assert list(failures(found)) == ["kill"]


def test_trouble_of_the_disk_is_tried_again_and_then_left_undone(
    run: Run, attempts: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "PAUSES_SECONDS", (0.01, 0.02))
    for processes, tried in ((0, 3), (1, 6)):
        with pytest.raises(UndoneError, match=r"1 of 4 videos are left undone.*stale.*Stale file"):
            run("a", "stale", "flaky", "b", processes=processes)
        assert [attempts(name) for name in ("a", "stale", "flaky", "b")] == [1, tried, 3, 1]


@pytest.mark.parametrize("processes", [0, 1])
def test_what_is_no_videos_fault_ends_the_run(processes: int, run: Run) -> None:
    with pytest.raises(OSError, match="No space left"):
        run("a", "full", processes=processes)
    with pytest.raises(ArgumentError, match="hop: expected"):
        run("a", "wrong", processes=processes, overwrite=True)


def test_processes_that_cannot_start_end_the_run(run: Run) -> None:
    with pytest.raises(ProcessError, match="before it opened a video: nothing works here"):
        run("start")
    with pytest.raises(ArgumentError, match=r"a process of this run takes .* MB before it opens"):
        run("hang", limits=RunLimits(video_memory="1MB"), overwrite=True)


def test_without_a_child_the_caller_is_hit(run: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        run("raise", processes=0)


SCRIPT = """
import signal, sys
from pathlib import Path
from tests.runs.acting_work import ActingWork
from vidattn.runs.run import work_through

# What runs in the background of a shell inherits that it ignores interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
names = ["hang", "hang-2"]
try:
    work_through(ActingWork(names, Path(sys.argv[1])), [[0], [1]], names, output=None,
                 settings={"threads": 1}, processes=2, description="acting", progress=False)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("way", ["interrupt", "interrupt everybody", "kill", "terminate"])
def test_children_end_with_their_parent_and_without_a_word(way: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "attempts").mkdir()
    with subprocess.Popen(
        [sys.executable, script, tmp_path / "attempts"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    ) as running:
        started = time.monotonic()
        while len(found := list((tmp_path / "attempts").iterdir())) < 2:
            assert time.monotonic() - started < 60
            time.sleep(0.05)
        children = [int(path.suffix[1:]) for path in found]
        assert all(map(is_running, children))
        everybody = way == "interrupt everybody"
        number = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM}.get(way, signal.SIGINT)
        (os.killpg if everybody else os.kill)(running.pid, number)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == (130 if "interrupt" in way else -number)
    assert errors.decode() == ""
    ended = time.monotonic()
    while any(map(is_running, children)):
        assert time.monotonic() - ended < 20, "they would sleep for a minute"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
