"""The same records from actors of Ray as from local processes, whatever is lost on the way."""

from __future__ import annotations

import os
import signal
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.runs.test_leases import acted, expected, start, wait_until, whole
from vidattn.errors import ArgumentError, MissingLibraryError
from vidattn.runs import ray_executor
from vidattn.runs.executors import Engine
from vidattn.runs.limits import RunLimits
from vidattn.runs.schedule import Schedule
from vidattn.runs.shards import Shard

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: vidattn[ray]")
POISON = ["a", "kill", "b", "exit", "broken", "c", "raise", "d", "once", "hang-1", "e"]


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_poisoned_videos_cost_the_same_records_as_locally(workers: int, tmp_path: Path) -> None:
    for engine, processes in (("local", 1), ("ray", workers)):
        folder = tmp_path / engine
        folder.mkdir()
        words, errors = start(folder, *POISON, engine=engine, processes=processes).communicate()
        assert words.strip() == "result", errors
    assert whole(tmp_path / "ray") == whole(tmp_path / "local")
    before = Counter(acted(tmp_path / "local"))
    # Ray repeats nothing by itself, however often a child of its actors is lost.
    assert Counter(acted(tmp_path / "ray")) == before


@needs_ray
@pytest.mark.slow
def test_actors_and_drivers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    names = ["gate-1", *(f"slow-{number}" for number in range(150))]
    running = start(tmp_path, *names, engine="ray", processes=2)
    wait_until(lambda: "gate-1" in acted(tmp_path) and len(acted(tmp_path)) > 10)
    [mark] = (tmp_path / "attempts").glob("gate-1.*")
    os.kill(parent_of(int(mark.suffix[1:])), signal.SIGKILL)  # the actor that has this child
    wait_until(lambda: Counter(acted(tmp_path))["gate-1"] == 2)
    running.kill()
    running.communicate()
    (tmp_path / "open").touch()
    words, errors = start(tmp_path, *names, engine="ray", processes=2).communicate(timeout=120)
    assert words.strip() == "result", errors
    assert whole(tmp_path) == expected(names)


def parent_of(process: int) -> int:
    """Of the actor: a child is a fork of a server, which is the actor's child."""
    for _ in range(2):
        text = Path(f"/proc/{process}/stat").read_text()
        process = int(text.rpartition(")")[2].split()[1])
    return process


def test_what_ray_does_not_do_is_refused() -> None:
    with pytest.raises(ArgumentError, match="address: expected --engine ray"):
        Engine("local", "auto")
    with pytest.raises(ArgumentError, match="engine"):
        Engine("slurm")
    ray = Engine("ray")
    for shard, processes, device, words in (
        (Shard(0, 2), 1, "cpu", "launcher"),
        (Shard(), 0, "cpu", "--processes 1 or more"),
        (Shard(), 1, "cuda", "CPUs only, got cuda"),
    ):
        with pytest.raises(ArgumentError, match=words):
            ray.check(shard, processes, device)
    ray.check(Shard(), 1, "cpu")


def test_without_ray_an_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    class One:
        def more(self) -> list[list[int]]:
            return [[0]]

        def seconds_to_wait(self) -> None:
            return None

    monkeypatch.setattr(ray_executor, "import_module", missing)
    cluster = ray_executor.RayCluster(None, 1, RunLimits(), 1, ())
    schedule = Schedule(One(), lambda records: None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'vidattn\[ray\]'"):
        cluster.work_on(None, schedule, lambda part: None)  # type: ignore[arg-type]
