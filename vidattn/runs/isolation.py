"""Child processes that work on videos: one that is lost costs no more than the video in work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any

from vidattn.errors import ArgumentError, LimitError, ProcessError
from vidattn.pools import interrupts_held, without_script
from vidattn.runs import preloading
from vidattn.runs.child import Ask, Done, Lost, Trouble, child
from vidattn.runs.limits import RunLimits, in_gigabytes
from vidattn.runs.memory import resident_bytes
from vidattn.runs.run_network import NETWORK_MODULES
from vidattn.runs.schedule import Schedule, Stream
from vidattn.runs.shards import Shard
from vidattn.runs.work import Work

# How often limits are looked at, and how long a child may take to end that has nothing to do.
LOOK_SECONDS = 0.2
END_SECONDS = 10.0
# What children import besides the module of their work.
MODULES = ("vidattn.runs.child", "vidattn.video.readers.pyav_reader")


def start_server(*modules: str) -> BaseContext:
    """The context that children are started in; from now on it gets ready, where it can.

    On Linux and macOS a server imports modules once, and each child is a fork of it: a fresh one
    costs some hundredths of a second where to import torch costs three. Nothing but imports
    happens in the server, so that no library holds a lock or a device when it forks.

    Args:
        modules: that children need. Only the first call in a process matters.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    if "torch" in sys.modules:  # later runs of this process may need it, if this one does not
        modules = (*modules, *NETWORK_MODULES)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preloading.__name__])
    os.environ[preloading.VARIABLE] = " ".join([*MODULES, *modules])
    try:
        with interrupts_held():
            forkserver.ensure_running()
    finally:
        del os.environ[preloading.VARIABLE]
    return context


class Supervisor:
    """Has a work done by child processes, and starts fresh ones for those that are lost.

    Args:
        work: sent to each child.
        schedule: which groups are left.
        part_done: called with the parts of videos that children say they have done.
        shards: of each child; so many run at once.
        limits: of each video.
        threads: of torch in each child.
        imports: modules that all children need, besides that of the work.
    """

    def __init__(
        self,
        work: Work,
        schedule: Schedule,
        *,
        part_done: Callable[[float], None],
        shards: Sequence[Shard],
        limits: RunLimits,
        threads: int,
        imports: Sequence[str] = (),
    ) -> None:
        self._work, self._schedule, self._part_done = work, schedule, part_done
        self._free = list(reversed(shards))
        self._limits, self._threads = limits, threads
        self._modules = (type(work).__module__, *imports)
        self._children: list[_Child] = []

    def run(self) -> None:
        """Return once all groups are recorded or left undone.

        Raises:
            VidattnError, OSError: what a child met that no video is to blame for.
            ProcessError: a child was lost before it began a video.
        """
        looked = time.monotonic()
        try:
            while self._start_children():
                self._wait()
                for each in list(self._children):
                    self._hear(each)
                if time.monotonic() - looked >= LOOK_SECONDS:
                    for each in self._children:
                        each.check()
                    looked = time.monotonic()
        finally:
            for each in self._children:
                each.kill()

    def _start_children(self) -> bool:
        """Whether there is anything to wait for."""
        while self._free and (stream := self._schedule.stream()):
            given = (self._work, self._free.pop(), self._threads)
            context = start_server(*self._modules)
            self._children.append(_Child(context, stream, self._limits, *given))
        return bool(self._children) or self._schedule.seconds_to_wait() is not None

    def _wait(self) -> None:
        sources = [source for each in self._children for source in each.sources]
        pause = self._schedule.seconds_to_wait()
        timeout = LOOK_SECONDS if pause is None else min(LOOK_SECONDS, pause)
        if sources:
            wait(sources, timeout)
        else:
            time.sleep(timeout)

    def _hear(self, each: _Child) -> None:
        """Take what a child says, and perhaps its end."""
        has_ended = not each.process.is_alive()  # before its last words are taken
        if has_ended:
            each.kill()
        each.hear(self._part_done)
        if has_ended:
            self._children.remove(each)
            self._free.append(each.shard)
            each.end()


class _Child:
    """A process that works on the groups of one stream."""

    def __init__(
        self,
        context: Any,
        stream: Stream,
        limits: RunLimits,
        work: Work,
        shard: Shard,
        threads: int,
    ) -> None:
        self.shard = shard
        self._stream, self._limits = stream, limits
        self._began = False
        self._is_done = self._is_silent = False
        self._fate: Lost | None = None
        self._moved = time.monotonic()
        self._clock = context.RawValue("d", 0.0)
        self._connection, theirs = context.Pipe()
        given = (theirs, self._clock, work, shard, threads, dict(os.environ))
        self.process = context.Process(target=child, args=given)
        with interrupts_held(), without_script():
            self.process.start()
        theirs.close()

    @property
    def sources(self) -> list[Any]:
        """What is ready when there is something to hear."""
        open_ends = [] if self._is_silent else [self._connection]
        return [*open_ends, self.process.sentinel]

    def hear(self, part_done: Callable[[float], None]) -> None:
        """Take all that the process has sent.

        Raises:
            VidattnError, OSError: what ended the work, and is no video's fault.
        """
        while (message := self._received()) is not None:
            self._moved = time.monotonic()
            if isinstance(message, Ask):
                self._give()
            elif isinstance(message, float):
                part_done(message)
            elif isinstance(message, Exception):
                raise message
            elif isinstance(message, Lost):
                self._fate = message
            elif isinstance(message, Trouble):
                self._is_done = True
                self._stream.trouble(message.reason)
            elif isinstance(message, Done):
                self._is_done = True
            elif isinstance(message, dict):
                self._stream.done(message)

    def _received(self) -> object | None:
        try:
            return self._connection.recv() if self._connection.poll() else None
        except (EOFError, OSError):
            self._is_silent = True
            return None

    def _give(self) -> None:
        if not self._began:
            self._check_memory()
        group = self._stream.take()
        self._began = self._began or group is not None
        with suppress(OSError):  # it has ended, as will be noticed
            self._connection.send(group)

    def check(self) -> None:
        """End the process if it is above a limit."""
        seconds = self._limits.video_seconds
        still_seconds = time.monotonic() - max(self._moved, self._clock.value)
        if self._is_done:
            if still_seconds > END_SECONDS:
                self.kill()
            return
        if self._stream.in_work and 0 < seconds < still_seconds:
            self._fate = Lost(
                LimitError.__name__,
                f"nothing moved for {seconds:g} s (--video-seconds)",
            )
            self.kill()
        else:
            self._check_memory()

    def _check_memory(self) -> None:
        limit = self._limits.memory_bytes
        size = resident_bytes(self.process.pid or 0, limit) if limit else None
        if size is None or size <= limit:
            return
        allowed = in_gigabytes(limit)
        if not self._began:
            raise ArgumentError(
                f"video_memory: a process of this run takes {in_gigabytes(size)} before it opens a "
                f"video, and {allowed} are allowed; give a larger --video-memory"
            )
        # Between two videos no video is to blame, and a fresh process takes the next one.
        self._fate = Lost(
            LimitError.__name__, f"it took more than {allowed} of memory (--video-memory)"
        )
        self.kill()

    def kill(self) -> None:
        """End the process, and all that it started."""
        if hasattr(os, "killpg") and self.process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def end(self) -> None:
        """Settle what it leaves, now that it has ended.

        Raises:
            ProcessError: it was lost, and no video is to blame.
        """
        self.process.join()
        fate = self._fate or Lost(ProcessError.__name__, f"its process {self._last_words()}")
        self.process.close()
        self._connection.close()
        if self._stream.in_work:
            self._stream.lost(fate.error, fate.reason, fate.videos)
        elif not self._began and not self._is_done:
            raise ProcessError(
                f"a process of the run was lost before it opened a video: {fate.reason}; "
                "the same command resumes the run"
            )

    def _last_words(self) -> str:
        code = self.process.exitcode or 0
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"was killed by {name}"
