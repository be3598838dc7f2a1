"""Packet tables kept between runs, so that opening a long video need not read all of it.

One small file for each video in the cache folder, named by the video's size, version (the time of
change of a file), first and last bytes: a renamed video keeps its table, a changed one loses it.
The folder is `$VIDATTN_CACHE`, or `vidattn` in `$XDG_CACHE_HOME` or `~/.cache`; it can be deleted
at any time.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import numpy as np

from vidattn.errors import ArgumentError, VideoError
from vidattn.files import write_bytes
from vidattn.video.packets.index import PacketTable
from vidattn.video.sources.source import SourceContent

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


def load_table(content: SourceContent) -> PacketTable | None:
    """The table of a video, or None where there is none, or none that can be used."""
    try:
        if not cache_folder().is_dir():
            return None
        kept = _place(content).read_bytes()
    except (OSError, VideoError, ArgumentError):
        return None
    body, digest = kept[:-_DIGEST_BYTES], kept[-_DIGEST_BYTES:]
    if not body.startswith(_MAGIC) or _digest(body) != digest:
        return None
    data = np.frombuffer(body, np.uint8, offset=len(_MAGIC))
    count = len(data) // (4 * 8 + 3)
    numbers = data[: count * 32].view("<i8").reshape(4, count).astype(np.int64)
    flags = data[count * 32 :].reshape(3, count).astype(bool)
    return PacketTable(*numbers, *flags)


def store_table(content: SourceContent, table: PacketTable) -> None:
    """Keep the table of a video.

    Raises:
        OSError: the folder cannot be written.
        VideoError: the video cannot be read.
        ArgumentError: nothing would tell the video from a changed one.
    """
    numbers = np.stack([table.presentation, table.decoding, table.durations, table.sizes])
    flags = np.stack([table.keys, table.discarded, table.damaged])
    body = _MAGIC + numbers.astype("<i8").tobytes() + flags.astype(np.uint8).tobytes()
    write_bytes(_place(content), body + _digest(body))


def _place(content: SourceContent) -> Path:
    if content.version is None:
        raise ArgumentError(f"{content.name}: its source does not tell when it changes")
    key = hashlib.blake2b(f"{content.size} {content.version}".encode(), digest_size=16)
    with content.reading() as read_at:
        key.update(read_at(0, _SAMPLE_BYTES))
        key.update(read_at(max(content.size - _SAMPLE_BYTES, 0), _SAMPLE_BYTES))
    name = key.hexdigest()
    return cache_folder() / name[:2] / f"{name[2:]}.packets"


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
