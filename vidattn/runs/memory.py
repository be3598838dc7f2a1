"""How much memory a process and those that it started hold."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PROCESSES = Path("/proc")


def resident_bytes(process: int, limit: int) -> int | None:
    """Resident memory of a process and its descendants; None where the system does not tell.

    Processes that were forked share pages. To tell these apart takes longer, so it is done only
    where the sum is above `limit`.

    Args:
        process: its id.
        limit: bytes.
    """
    if not (_PROCESSES / "self" / "statm").is_file():
        return _told_by_ps(process)
    family = _family(process)
    total = sum(map(_resident, family))
    if total <= limit or len(family) == 1:
        return total
    return sum(map(_proportional, family))


def _family(process: int) -> list[int]:
    """The process and its descendants."""
    found = [process]
    for each in found:
        for children in _PROCESSES.glob(f"{each}/task/*/children"):
            try:
                found += map(int, children.read_text().split())
            except (OSError, ValueError):  # it has ended meanwhile
                continue
    return found


def _resident(process: int) -> int:
    try:
        pages = (_PROCESSES / str(process) / "statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _proportional(process: int) -> int:
    """Resident memory, pages of several processes counted in parts; resident where unknown."""
    try:
        for line in (_PROCESSES / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return _resident(process)


def _told_by_ps(process: int) -> int | None:
    try:
        rows = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    table = {
        pid: (parent, kilobytes)
        for pid, parent, kilobytes in (map(int, row.split()) for row in rows)
    }
    family = [process]
    for each in family:
        family += [pid for pid, (parent, _) in table.items() if parent == each]
    return sum(table[each][1] * 1024 for each in family if each in table)
