"""Processes that share a run: each says that it is alive, and notices when another is not."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

# A process that has not beaten for so long is taken for dead, and its work is given to others.
LEASE_SECONDS = 60.0
BEATS = 6
PREFIX = "worker-"
_ENDED = "ended"


class Worker:
    """This process among those that share a run.

    Its file in the folder of the run holds who it is, and below that a number that grows. The file
    is written, forced to the server and opened again for each look, because network file systems
    show what is new in a file only when it is opened. No clock is compared with another machine's.

    Args:
        folder: of the run.
        lease_seconds: after so long without a beat, others take over.
    """

    def __init__(self, folder: Path, lease_seconds: float = LEASE_SECONDS) -> None:
        self.token = secrets.token_hex(8)
        self.folder, self.lease_seconds = folder, lease_seconds
        self._path = folder / f"{PREFIX}{self.token}"
        self._count = 0
        self._stop = threading.Event()
        self._write(str(self._count), os.O_CREAT | os.O_EXCL)
        self._thread = threading.Thread(target=self._beat, daemon=True, name="vidattn-lease")
        self._thread.start()

    def close(self) -> None:
        """Give up all that this process has taken: others need not wait."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        with suppress(OSError):  # the run is finished, and its folder gone
            self._write(_ENDED)

    def _beat(self) -> None:
        while not self._stop.wait(self.lease_seconds / BEATS):
            self._count += 1
            with suppress(OSError):  # others wait for some beats; a later one may succeed
                self._write(str(self._count))

    def _write(self, state: str, how: int = 0) -> None:
        content = json.dumps(identity()) + "\n" + f"{state:<20}\n"
        descriptor = os.open(self._path, os.O_WRONLY | how, 0o666)
        try:
            os.write(descriptor, content.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Watch:
    """What this process knows of the others that share its run.

    Another process is gone if it says so, if it ran on this machine and is no more, or if its file
    has stayed the same for `lease_seconds` of this process's own clock.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._seen: dict[str, tuple[str, float]] = {}

    def is_gone(self, token: str) -> bool:
        """Whether the work of that process may be given to another.

        Args:
            token: its name; what is no name of a process counts as one that never beats.
        """
        if token == self._worker.token:
            return False
        content = _read(self._worker.folder / f"{PREFIX}{token}")
        now = time.monotonic()
        before, since = self._seen.get(token, (None, now))
        if content != before:
            self._seen[token] = (content, now)
            return _says_it_ended(content) or _was_here(content)
        return now - since >= self._worker.lease_seconds or _was_here(content)


def identity() -> dict[str, str | int]:
    """Who this process is: where its number means something, its number, and when it started."""
    return {
        "host": socket.gethostname(),
        "space": _space(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }


def _was_here(content: str) -> bool:
    """Whether it ran on this machine, and is no more; also a former run of this very process."""
    try:
        told = json.loads(content.partition("\n")[0])
        space, process, started = told["space"], int(told["process"]), told["started"]
    except (ValueError, KeyError, TypeError):
        return False
    if not space or space != _space():
        return False
    return process == os.getpid() or _started(process) != started


def _says_it_ended(content: str) -> bool:
    return content.partition("\n")[2].strip() == _ENDED


def _space() -> str:
    """What two processes have in common that see each other's numbers; "" where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """When a process started; "" where there is none, or where it only waits to be buried."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
