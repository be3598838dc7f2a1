"""The same records from actors of Ray as from local processes, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.runs.test_leases import acted, expected, start, wait_until, whole
from vidattn.errors import ArgumentError, MissingLibraryError, ProcessError
from vidattn.runs import ray_executor
from vidattn.runs.executors import Engine
from vidattn.runs.limits import RunLimits
from vidattn.runs.ray_executor import ENVIRONMENT
from vidattn.runs.schedule import Schedule
from vidattn.runs.shards import Shard
from vidattn.video import VideoWriter

POISON = ["a", "kill", "b", "exit", "broken", "c", "raise", "d", "once", "hang-1", "e"]

# Ray needs ports and shared memory, which not every container has.
STARTS = "import ray; ray.init(address='local', num_cpus=1, include_dashboard=False)"


@pytest.fixture(scope="module")
def ray_that_starts() -> None:
    if find_spec("ray") is None:
        pytest.skip("needs Ray: vidattn[ray]")
    quiet = os.environ | ENVIRONMENT
    command = [sys.executable, "-c", STARTS]
    try:
        subprocess.run(command, env=quiet, check=True, capture_output=True, timeout=90)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Ray does not start here: {error}")


@pytest.mark.usefixtures("ray_that_starts")
@pytest.mark.slow
@pytest.mark.oracle
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


@pytest.mark.usefixtures("ray_that_starts")
@pytest.mark.slow
@pytest.mark.oracle
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


def write_film(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    with VideoWriter(path, fps=25.0, size=(48, 64)) as writer:
        for _ in range(20):
            writer.write(random.integers(0, 255, (48, 64, 3), np.uint8))


def extract(folder: Path, output: str, *arguments: str) -> dict[str, bytes]:
    """All files of key frames; of the record, the part that does not tell the time."""
    command = [sys.executable, "-m", "vidattn", "keyframes", "films", "--output", output]
    command += ["--threads", "1", "--count", "3", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr  # one film is broken
    said = {line.partition(":")[0] for line in ended.stderr.splitlines()}
    assert said <= {"vidattn", "extracting"}, "Ray says nothing on its own"
    files = [each for each in (folder / output).rglob("*.*") if each.is_file()]
    found = {str(each.relative_to(folder / output)): each.read_bytes() for each in files}
    record = json.loads(found.pop("keyframes.json"))
    rows = json.dumps([record["videos"], record["failures"]]).encode()
    pictures = {name: data for name, data in found.items() if not name.startswith(".")}
    return {"rows": rows, **pictures}


@pytest.mark.usefixtures("ray_that_starts")
@pytest.mark.slow
@pytest.mark.oracle
def test_key_frames_are_the_same_files_from_processes_actors_and_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films").mkdir()
    for seed in range(5):
        write_film(tmp_path / "films" / f"{seed}.mp4", seed)
    (tmp_path / "films" / "broken.mp4").write_bytes(b"no film")
    first = extract(tmp_path, "local-1", "--processes", "1")
    assert len([name for name in first if "/frame_" in name]) == 15
    assert extract(tmp_path, "local-2", "--processes", "2") == first
    assert extract(tmp_path, "ray-1", "--engine", "ray", "--processes", "1") == first
    assert extract(tmp_path, "ray-3", "--engine", "ray", "--processes", "3") == first
    # The cluster works in another folder, and those who join it know its token.
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with cluster(tmp_path / "local-1") as address:
        joined = ("--engine", "ray", "--address", address, "--processes", "2")
        assert extract(tmp_path, "cluster", *joined) == first
        command = [sys.executable, "-m", "vidattn", "keyframes", "films", "--output", "more"]
        command += [*joined[:-1], "9", "--threads", "1"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 1
        assert "9 with --threads 1 need 9 CPUs, and the Ray cluster has 2" in ended.stderr


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A Ray of another program; its address."""
    script = STARTS.replace("num_cpus=1", "num_cpus=2")
    script += "; print(ray.get_runtime_context().gcs_address, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        assert program.stdout is not None
        yield program.stdout.readline().strip()
        program.communicate("\n")


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


@pytest.mark.parametrize("address", ["here", "ray://head:10001", "head:port", ":6379"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ArgumentError, match="address: expected auto or HOST:PORT"):
        ray_executor._check_address(address)


def test_an_address_where_nobody_answers_is_said_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ProcessError, match=f"no Ray cluster answers at {address}"):
            ray_executor._check_address(address)
