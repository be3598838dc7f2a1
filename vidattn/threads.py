"""How many threads this process may use, whether torch is loaded or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What `limited_threads` says, where torch was not loaded to be told.
_limit: int | None = None


def threads_in_use() -> int:
    """As many as torch uses, or would use, without loading it for that.

    Where torch is not loaded: the number of `limited_threads`, else `OMP_NUM_THREADS`, else the
    cores that this process may run on.
    """
    ask = getattr(sys.modules.get("torch"), "get_num_threads", None)
    if ask is not None:
        threads: int = ask()
        return threads
    if _limit is not None:
        return _limit
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(given) if given.isdecimal() and int(given) else _cores()


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let torch, and what goes by `threads_in_use`, use so many threads meanwhile.

    Torch may be loaded meanwhile: who loads it calls `limit_torch`.
    """
    global _limit
    before, _limit = _limit, count
    torch = sys.modules.get("torch")
    torch_before = torch and torch.get_num_threads()
    limit_torch()
    try:
        yield
    finally:
        _limit = before
        if torch is not None:
            torch.set_num_threads(torch_before)


def limit_torch() -> None:
    """Tell torch, where it is loaded, what `limited_threads` says."""
    torch = sys.modules.get("torch")
    if torch is not None and _limit is not None:
        torch.set_num_threads(_limit)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
