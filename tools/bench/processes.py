"""What a command costs with all processes that it starts, also those that it leaves behind."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: processes that lose their parent become ours


@dataclass(frozen=True)
class Cost:
    """What one run of a command took.

    Attributes:
        cpu_seconds: user and system time of all its processes.
        wall_seconds: until the command itself ended.
        memory_megabytes: largest resident memory of any of its processes.
    """

    cpu_seconds: float
    wall_seconds: float
    memory_megabytes: float


def adopt_orphans() -> None:
    """Count processes whose parents have ended; once, before anything is measured. Linux only."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def measured(command: Sequence[str]) -> Cost:
    """Run a command with one thread, to its end.

    Raises:
        SystemExit: it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    complaint = process.stderr.read().decode(errors="replace")
    usages, codes = [], {}
    while True:
        try:
            child, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        usages.append(usage)
        codes[child] = status
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(codes[process.pid])
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {complaint[-500:]}")
    return Cost(
        sum(usage.ru_utime + usage.ru_stime for usage in usages),
        wall,
        max(usage.ru_maxrss for usage in usages) / 1024,
    )
