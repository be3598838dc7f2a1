"""Blocks of remote files, of which a bounded number is kept in memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from vidattn.heartbeat import beat
from vidattn.video.sources.source import SourceContent

BLOCK_BYTES = 2**18
# Of all remote files that a process reads.
KEPT_BYTES = 2**26
# Where one block after the other is wanted, so many at most are asked for at once.
MOST_AHEAD = 16

# Gives bytes from an offset to an end, all of them, or raises.
Fetch = Callable[[int, int], bytes]


class BlockMemory:
    """The blocks that were used last, of any number of files; safe to use from several threads.

    Args:
        kept_bytes: of all of them.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._blocks: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes_held = 0

    def get(self, key: Hashable) -> bytes | None:
        """A block, if it is still here."""
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
            return self._blocks.get(key)

    def put(self, key: Hashable, block: bytes) -> None:
        """Keep a block, and drop those that were not used for longest."""
        with self._lock:
            self.bytes_held += len(block) - len(self._blocks.pop(key, b""))
            self._blocks[key] = block
            while self.bytes_held > self._kept_bytes:
                self.bytes_held -= len(self._blocks.popitem(last=False)[1])

    def renew_lock(self) -> None:
        """For a forked process: another thread may have held the lock then."""
        self._lock = threading.Lock()


_memory = BlockMemory()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_memory.renew_lock)


class RemoteContent(SourceContent):
    """The bytes of a file on a server, read by ranges.

    Args:
        name, file_name, size, version: see `SourceContent`.
        fetch: asks the server for a range.
        head: the first bytes, where they are known already.
    """

    def __init__(
        self,
        name: str,
        file_name: str,
        size: int,
        version: str | None,
        fetch: Fetch,
        head: bytes = b"",
    ) -> None:
        self.name, self.file_name, self.size, self.version = name, file_name, size, version
        self._fetch = fetch
        # Of a file whose version is not known, nothing is kept for others.
        self._key: Hashable = (name, size, version) if version is not None else object()
        self._expected, self._ahead = -1, 1
        if len(head) >= min(BLOCK_BYTES, size):
            _memory.put((self._key, 0), head[:BLOCK_BYTES])

    def read_at(self, offset: int, size: int) -> bytes:
        """See `SourceContent.read_at`."""
        end = min(offset + size, self.size)
        parts = []
        while offset < end:
            number, start = divmod(offset, BLOCK_BYTES)
            block = self._block(number, -(-end // BLOCK_BYTES))
            parts.append(block[start : start + end - offset])
            offset += len(parts[-1])
        return b"".join(parts)

    def _block(self, number: int, end: int) -> bytes:
        """A block; it is wanted with all up to block `end`, which is not."""
        kept = _memory.get((self._key, number))
        if kept is not None:
            return kept
        self._ahead = min(2 * self._ahead, MOST_AHEAD) if number == self._expected else 1
        count = min(max(self._ahead, end - number), MOST_AHEAD)
        self._expected = number + count
        start = number * BLOCK_BYTES
        data = self._fetch(start, min(start + count * BLOCK_BYTES, self.size))
        beat()
        for place in range(0, len(data), BLOCK_BYTES):
            block = data[place : place + BLOCK_BYTES]
            _memory.put((self._key, number + place // BLOCK_BYTES), block)
        return data[:BLOCK_BYTES]
