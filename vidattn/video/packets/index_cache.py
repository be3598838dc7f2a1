"""Packet tables kept between runs, so that opening a long video need not read all of it.

One small file for each video in the cache folder, named by the video's size, time of change, first
and last bytes: a renamed video keeps its table, a changed one loses it. The folder is
`$VIDATTN_CACHE`, or `vidattn` in `$XDG_CACHE_HOME` or `~/.cache`; it can be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import numpy as np

from vidattn.files import write_bytes
from vidattn.video.packets.index import PacketTable

_MAGIC = b"vidattn packets 1\n"
_DIGEST_BYTES = 16
_SAMPLE_BYTES = 2**16


def cache_folder() -> Path:
    """Where tables are kept; it need not exist.

    Raises:
        OSError: nobody says where, as there is no home.
    """
    if chosen := os.environ.get("VIDATTN_CACHE"):
        return Path(chosen)
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "vidattn"
    try:
        return Path.home() / ".cache" / "vidattn"
    except RuntimeError as error:
        raise FileNotFoundError(
            errno.ENOENT, "no home folder is known; VIDATTN_CACHE names another", "~/.cache"
        ) from error


def load_table(file: Path) -> PacketTable | None:
    """The table of a video, or None where there is none, or none that can be used."""
    try:
        if not cache_folder().is_dir():
            return None
        content = _place(file).read_bytes()
    except OSError:
        return None
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if not body.startswith(_MAGIC) or _digest(body) != digest:
        return None
    data = np.frombuffer(body, np.uint8, offset=len(_MAGIC))
    count = len(data) // (4 * 8 + 3)
    numbers = data[: count * 32].view("<i8").reshape(4, count).astype(np.int64)
    flags = data[count * 32 :].reshape(3, count).astype(bool)
    return PacketTable(*numbers, *flags)


def store_table(file: Path, table: PacketTable) -> None:
    """Keep the table of a video.

    Raises:
        OSError: the video cannot be read, or the folder cannot be written.
    """
    numbers = np.stack([table.presentation, table.decoding, table.durations, table.sizes])
    flags = np.stack([table.keys, table.discarded, table.damaged])
    body = _MAGIC + numbers.astype("<i8").tobytes() + flags.astype(np.uint8).tobytes()
    write_bytes(_place(file), body + _digest(body))


def _place(file: Path) -> Path:
    status = file.stat()
    key = hashlib.blake2b(f"{status.st_size} {status.st_mtime_ns}".encode(), digest_size=16)
    with open(file, "rb") as opened:
        key.update(opened.read(_SAMPLE_BYTES))
        opened.seek(max(status.st_size - _SAMPLE_BYTES, 0))
        key.update(opened.read(_SAMPLE_BYTES))
    name = key.hexdigest()
    return cache_folder() / name[:2] / f"{name[2:]}.packets"


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
