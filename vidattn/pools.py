"""Child processes that an interrupt from the keyboard ends at once and without a word."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, resource_tracker
from types import ModuleType


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Start processes in here: an interrupt does not reach them, and this process a little later.

    The keyboard interrupts all processes; the parent then ends its children, which would
    otherwise print where they were.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows has no such thing
        yield
        return
    # Python's own helper, which the first process needs, would let interrupts through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def without_script() -> Iterator[None]:
    """Start processes in here: they do not import the script that this program is.

    They need nothing of it, and it needs no `if __name__ == "__main__"` then.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, started afresh: a forked decoder library may hold a lock for ever.

    Hand them work within `interrupts_held`, for they are started then.
    """
    others = set(active_children())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool
        except (KeyboardInterrupt, GeneratorExit):
            for process in set(active_children()) - others:
                process.terminate()
            raise
