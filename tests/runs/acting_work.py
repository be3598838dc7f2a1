"""A work whose videos do to their process what their names say; processes import it by name."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.errors import ArgumentError, InputOutputError, NotAVideoError
from vidattn.heartbeat import beat
from vidattn.runs.failures import failed
from vidattn.runs.shards import Shard
from vidattn.runs.work import Group, Record


@dataclass(frozen=True)
class ActingWork:
    """Of a video's name, what comes before the `-` is done."""

    names: Sequence[str]
    folder: Path

    def records(
        self, groups: Iterable[Group], shard: Shard
    ) -> Iterator[Mapping[int, Record] | float]:
        if self.names[0] == "start":
            raise RuntimeError("nothing works here")
        for group in groups:
            yield 0.25
            good = []
            bad: dict[int, Record] = {}
            for number in group:
                mark = f"{self.names[number]}.{time.monotonic_ns()}.{os.getpid()}"
                (self.folder / mark).touch()
                try:
                    self._act(self.names[number])
                    good.append(number)
                except NotAVideoError as error:
                    bad[number] = failed(error)
            together = [self.names[number] for number in good]
            yield {**bad, **{number: {"with": together} for number in good}}

    def _act(self, name: str) -> None:
        act = name.partition("-")[0]
        times = len(list(self.folder.glob(f"{name}.*")))
        if act == "kill" or (act == "once" and times == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        elif act == "exit":
            os._exit(3)
        elif act == "raise":
            raise ZeroDivisionError("a wrong aspect")
        elif act == "broken" or (act == "mend" and not (self.folder / "mended").exists()):
            raise NotAVideoError(name, "no video")
        elif act == "hang":
            time.sleep(60)
        elif act == "gate":
            while not (self.folder.parent / "open").exists():
                time.sleep(0.02)
                beat()
        elif act == "slow":
            time.sleep(0.05)
        elif act == "eat":
            held = []
            while True:
                held.append(bytearray(os.urandom(1024)) * (32 * 1024))
                time.sleep(0.01)
        elif act == "long":
            for _ in range(12):
                time.sleep(0.25)
                beat()
        elif act == "flaky" and times < 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        elif act == "stale":
            raise InputOutputError(name, "cannot be read: Stale file handle")
        elif act == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.npz")
        elif act == "wrong":
            raise ArgumentError("hop: expected at most 8")
