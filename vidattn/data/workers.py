"""Worker processes that die or hang are reported with the video that they were at."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from vidattn.errors import ProcessError

_NOTHING = -1
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_KILL_SECONDS = 5.0


@dataclass(frozen=True)
class WorkerState:
    """A worker process when something went wrong.

    Attributes:
        number: of the worker, from 0.
        process: its process id.
        exit_code: None while it runs; −n where signal n ended it.
        path: the video that it was reading; None between videos.
        seconds: for how long it had been reading it.
    """

    number: int
    process: int
    exit_code: int | None = None
    path: str | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        reading = "between videos" if self.path is None else f"reading {self.path}"
        if self.exit_code is None and self.seconds is not None:
            reading += f" for {self.seconds:.0f} s"
        return f"worker {self.number} (process {self.process}){self.end} {reading}"

    @property
    def end(self) -> str:
        """How it ended; nothing while it runs."""
        if self.exit_code is None:
            return ""
        if self.exit_code >= 0:
            return f" ended with code {self.exit_code}"
        return f" was killed by {signal.Signals(-self.exit_code).name}"


class WorkerError(ProcessError):
    """Worker processes died, or gave no batch in time; `workers` says which and where they were."""

    def __init__(self, problem: str, workers: Sequence[WorkerState]) -> None:
        self.problem = problem
        self.workers = list(workers)
        self.videos = tuple(state.path for state in workers if state.path is not None)
        super().__init__(f"{problem}: " + "; ".join(map(str, self.workers)))

    @property
    def reason(self) -> str:
        """How the first worker ended, or what is wrong."""
        return next(
            (f"a worker process{end}" for each in self.workers if (end := each.end)), self.problem
        )

    def __reduce__(self) -> tuple[type, tuple[str, list[WorkerState]]]:
        return type(self), (self.problem, self.workers)


class CurrentSamples:
    """Which sample each worker is at: written by the workers, read by the process they work for.

    Called in a worker, as its `worker_init_fn`, it makes the worker's dataset report there, and the
    worker keep memory that it has freed.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        # A sample's number and when it was begun, on the clock that all processes share.
        self._slots: Tensor = torch.full((workers, 2), _NOTHING, dtype=torch.int64).share_memory_()

    def __call__(self, worker: int) -> None:
        """Make the dataset of this process, which is worker number `worker`, report here."""
        keep_freed_memory()
        # Ctrl-C reaches all processes of a terminal: it is the main one that decides when to end
        # and ends the workers, by a request or by SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        information: Any = get_worker_info()
        slot = self._slots[worker].numpy()

        def report(index: int | None) -> None:
            slot[:] = (_NOTHING, 0) if index is None else (index, time.monotonic_ns())

        information.dataset.report = report

    def states(self, processes: Sequence[BaseProcess], paths: Sequence[str]) -> list[WorkerState]:
        """What the workers are at.

        Args:
            processes: of the workers, in order.
            paths: of the samples.
        """
        states = []
        for number, (process, slot) in enumerate(zip(processes, self._slots.tolist(), strict=True)):
            index, begun = slot
            reading: dict[str, Any] = {}
            if index != _NOTHING:
                reading = {
                    "path": paths[index],
                    "seconds": (time.monotonic_ns() - begun) / 1e9,
                }
            states.append(WorkerState(number, process.pid or 0, process.exitcode, **reading))
        return states


def keep_freed_memory() -> None:
    """Have glibc keep up to 256 MiB for this process, and use it for arrays of up to 32 MiB too.

    Each clip needs as much as the one before. To give that back to the system and ask for it again
    takes 3 % of the time of a clip.
    """
    if sys.platform == "linux" and (set_option := getattr(ctypes.CDLL(None), "mallopt", None)):
        set_option(_TRIM_THRESHOLD, 2**28)
        set_option(_MMAP_THRESHOLD, 2**25)


def end(processes: Sequence[BaseProcess]) -> None:
    """Kill processes that still run, hung or not, and leave no zombie."""
    with _deaths_expected():
        for process in processes:
            if process.is_alive():
                process.kill()
        for process in processes:
            process.join(_KILL_SECONDS)


# -- deaths that the system reports while the main thread is elsewhere -------------------------

_watched: WeakSet[Any] = WeakSet()
_expected = threading.Event()


def watch(loader: Any) -> None:
    """Raise the death of one of the loader's workers as `WorkerError`, wherever it is noticed.

    PyTorch raises it from its handler of SIGCHLD, which may run in the middle of a training
    step; a handler around that one gives it its type. Call it after workers have started.

    Args:
        loader: has `worker_error()`, which gives the error if a worker has died.
    """
    _watched.add(loader)
    inner = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    main = threading.current_thread() is threading.main_thread()
    if main and callable(inner) and not isinstance(inner, _TypedDeaths):
        signal.signal(signal.SIGCHLD, _TypedDeaths(inner))


class _TypedDeaths:
    def __init__(self, inner: Callable[[int, FrameType | None], Any]) -> None:
        self._inner = inner

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self._inner(number, frame)
        except RuntimeError as error:
            if _expected.is_set():
                return
            for loader in list(_watched):
                failure = loader.worker_error()
                # Workers of a loader that is done end too, with code 0.
                if failure and any(state.exit_code for state in failure.workers):
                    raise failure from error
            raise


@contextmanager
def _deaths_expected() -> Iterator[None]:
    _expected.set()
    try:
        yield
    finally:
        _expected.clear()
