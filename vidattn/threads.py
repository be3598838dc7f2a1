"""How many threads this process may use, whether torch is loaded or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")

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
    """Let torch, and what goes by `threads_in_use`, use so many threads meanwhile; NumPy one.

    Torch may be loaded meanwhile: who loads it calls `limit_torch`.
    """
    global _limit
    before, _limit = _limit, count
    torch = sys.modules.get("torch")
    torch_before = torch and torch.get_num_threads()
    limit_torch()
    try:
        with one_thread_for_numpy():
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


def one_thread_for_numpy() -> AbstractContextManager[object]:
    """Let NumPy multiply matrices in one thread meanwhile.

    Small pictures are products of microseconds. OpenBLAS shares even these among its threads, which
    then wait for each other: with one busy process beside them on two cores, they took 30 times as
    long. The last digits of a product also depend on the number of threads.
    """
    return _blas().limit(limits=1)


def each_in_one_thread(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each found under `one_thread_for_numpy`; who takes them is not limited."""
    while True:
        with one_thread_for_numpy():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


@cache
def _blas() -> ThreadpoolController:
    """Looks for the libraries once: NumPy is loaded before anything is multiplied."""
    import numpy as np  # noqa: F401

    return ThreadpoolController().select(internal_api="openblas")


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
