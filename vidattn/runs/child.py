"""The child process that works on videos for a run; `isolation.py` is the parent's side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from vidattn.errors import ProcessError, VidattnError
from vidattn.files import is_trouble
from vidattn.heartbeat import listen
from vidattn.runs.shards import Shard
from vidattn.runs.work import Group, Work
from vidattn.threads import limited_threads


@dataclass(frozen=True)
class Ask:
    """The child has room for another group."""


@dataclass(frozen=True)
class Lost:
    """The child cannot go on: something unforeseen was raised, or a helper of its was lost."""

    error: str
    reason: str
    videos: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """All groups have their records; the child ends."""


@dataclass(frozen=True)
class Trouble:
    """The disk or the network failed; the child ends."""

    reason: str


def child(
    connection: Connection,
    clock: Any,
    work: Work,
    shard: Shard,
    threads: int,
    environment: Mapping[str, str],
) -> None:
    """Work on groups until there are no more.

    Args:
        connection: sends `Ask`, what `Work.records` yields, and how it ended; receives groups,
            and None at the end.
        clock: shared float, the monotonic time at which something moved last.
        threads: of torch, where the work imports it.
        environment: of the parent, now: this process may come from one that was started before.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent that ends children
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(os, "setpgid"):
        with suppress(OSError):
            os.setpgid(0, 0)  # with all that it starts
    # Helpers are then children of this process, and end with it.
    method = "fork" if sys.platform == "linux" else "spawn"
    multiprocessing.set_start_method(method, force=True)
    os.environ.clear()
    os.environ.update(environment)
    if hasattr(os, "register_at_fork"):
        # A helper that outlives this process must not keep its end open.
        os.register_at_fork(after_in_child=connection.close)
    listen(lambda: setattr(clock, "value", time.monotonic()))
    given: SimpleQueue[Group | None] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, given), daemon=True).start()
    with suppress(BrokenPipeError), limited_threads(threads):
        connection.send(_end(connection, work.records(_groups(connection, given), shard)))


def _end(connection: Connection, found: Iterator[Any]) -> object:
    """Pass on what is found, and say how it ended."""
    try:
        for each in found:
            connection.send(each)
    except BrokenPipeError:
        raise
    except ProcessError as error:
        return Lost(ProcessError.__name__, error.reason, error.videos)
    except Exception as error:
        if is_trouble(error):
            return Trouble(str(error))
        if isinstance(error, VidattnError | OSError):
            return error
        return Lost(type(error).__name__, str(error))
    return Done()


def _groups(connection: Connection, given: SimpleQueue[Group | None]) -> Iterator[Group]:
    while True:
        connection.send(Ask())
        group = given.get()
        if group is None:
            return
        yield group


def _receive(connection: Connection, given: SimpleQueue[Group | None]) -> None:
    """Take groups as they come; a parent that is no more ends this process, at work or not."""
    try:
        while True:
            given.put(connection.recv())
    except (EOFError, OSError):
        _end_all()


def _end_all() -> None:
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
