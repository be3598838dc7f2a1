from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vidattn.errors import ProcessError
from vidattn.runs.processes import Tick, in_processes
from vidattn.runs.shards import Shard


def ticks(shard: Shard, tick: Tick, times: int) -> None:
    for _ in range(times):
        tick(10**shard.rank)


def fails(shard: Shard, tick: Tick, where: Path) -> None:
    if shard.rank == 1:
        (where / "absent").read_bytes()
    tick(1)


def ends(shard: Shard, tick: Tick) -> None:
    sys.exit(3 if shard.rank else 0)


def test_what_goes_wrong_in_a_process_is_said_here(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        in_processes(2, fails, tmp_path, tick=lambda _: None)
    with pytest.raises(ProcessError, match="exit code 3"):
        in_processes(2, ends, tick=lambda _: None)


def test_progress_of_all_processes_arrives() -> None:
    found: list[int] = []
    in_processes(2, ticks, 3, tick=found.append)
    assert sorted(found) == [1, 1, 1, 10, 10, 10]
