from __future__ import annotations

import doctest
import os
import subprocess
import sys

import pytest

from vidattn.errors import ArgumentError
from vidattn.runs import limits as module
from vidattn.runs.limits import RunLimits
from vidattn.runs.memory import resident_bytes


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("500MB", 500_000_000),
        ("4GB", 4_000_000_000),
        ("4 gb", 4_000_000_000),
        ("2GiB", 2 * 2**30),
        ("1.5G", 1_500_000_000),
        ("1e3", None),
        ("4 apples", None),
        ("-4GB", None),
        ("", None),
        ("GB", None),
        (123, 123),
        ("0", 0),
        (0, 0),
    ],
)
def test_sizes(size: str | int, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ArgumentError, match=r"video_memory: expected a size such as 500MB"):
            RunLimits(video_memory=size)
    else:
        assert RunLimits(video_memory=size).memory_bytes == expected


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_seconds(seconds: float) -> None:
    with pytest.raises(ArgumentError, match="video_seconds"):
        RunLimits(video_seconds=seconds)


HOLDER = """
import os, sys
held = bytearray(os.urandom(1024)) * (int(sys.argv[1]) * 1024)
if len(sys.argv) > 2:
    os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", sys.argv[2], *sys.argv[3:]])
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not told")
def test_memory_is_that_of_a_process_and_of_those_that_it_started() -> None:
    line = [sys.executable, "-c", HOLDER, "40", HOLDER, "60"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"  # the inner one, while the outer one waits
        for limit in (0, 10**12):
            size = resident_bytes(running.pid, limit)
            assert size is not None
            assert 100e6 < size < 200e6
        running.kill()
        os.killpg(0, 0)
        running.communicate()
