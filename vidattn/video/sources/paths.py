from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from vidattn.errors import (
    InputOutputError,
    NotAVideoError,
    UnsafePathError,
    VideoError,
    VideoNotFoundError,
)
from vidattn.files import is_trouble

# FFmpeg takes these characters before a colon for a protocol: http:, concat:, subfile,,start,0:
_PROTOCOL = re.compile(r"^[A-Za-z0-9+.,_-]{2,}:")
# The openings of files that only name other files, which a demuxer would go and read.
_PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"<smil", b"<asx", b"v=0\r", b"v=0\n")
_CHUNK_BYTES = 2**22
_MANIFESTS = (b"<mpd", b"<smoothstreamingmedia", b"<cpl", b"<assetmap")


def checked_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path of an existing file or folder that is safe to hand to FFmpeg.

    A file may be called `a:b.mp4` or `-a.mp4`: by its absolute path it is taken for nothing else.

    Raises:
        UnsafePathError: no such file, and a protocol or a leading `-`; a NUL, or a playlist.
        VideoNotFoundError: nothing there.
        NotAVideoError: empty, or neither a file nor a folder (a pipe would block for ever).
    """
    name = os.fspath(path)
    if isinstance(name, bytes) or not name:
        raise UnsafePathError(path, "expected the path of a file, as text that is not empty")
    if "\0" in name:
        raise UnsafePathError(name.replace("\0", "\\0"), "a NUL is in the path")
    absolute = Path(os.path.abspath(name))
    try:
        status = absolute.stat()
    except (FileNotFoundError, NotADirectoryError):
        if name.startswith("-"):
            raise UnsafePathError(name, "no such file; it looks like an option") from None
        if _PROTOCOL.match(name):
            reason = "a protocol where the path of a file was expected"
            raise UnsafePathError(name, reason) from None
        raise VideoNotFoundError(name, "no such file or folder") from None
    except OSError as error:
        raise _unreachable(name, f"cannot be reached: {error.strerror}", error) from None
    if stat.S_ISDIR(status.st_mode):
        return absolute
    if not stat.S_ISREG(status.st_mode):
        raise NotAVideoError(name, "neither a file nor a folder")
    if status.st_size == 0:
        raise NotAVideoError(name, "the file is empty (zero bytes)")
    try:
        with absolute.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise _unreachable(name, f"cannot be read: {error.strerror}", error) from None
    refuse_playlist(name, head)
    return absolute


def refuse_playlist(name: str, head: bytes) -> None:
    """Raise `UnsafePathError` where a file only names others, which a demuxer would go and read.

    Args:
        name: of the file, for messages.
        head: its first 4096 bytes.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_manifest = text.startswith(b"<") and any(mark in text for mark in _MANIFESTS)
    if text.startswith(_PLAYLISTS) or is_manifest:
        raise UnsafePathError(name, "a playlist that names other files, not a video")


def _unreachable(name: str, reason: str, error: OSError) -> VideoError:
    return (InputOutputError if is_trouble(error) else VideoNotFoundError)(name, reason)


def failing_storage(path: str, error: Exception) -> InputOutputError | None:
    """The error to raise where the disk or the network failed; None where the file is to blame.

    FFmpeg says "Input/output error" of files that are cut off, too. If their bytes can be read,
    the disk is well.

    Args:
        path: of the file.
        error: what was raised while it was read.
    """
    if is_trouble(error):
        return InputOutputError(path, f"cannot be read: {error.strerror or error}")  # type: ignore[attr-defined]
    if not isinstance(error, OSError) or error.errno != errno.EIO:
        return None
    try:
        with open(path, "rb") as file:
            while file.read(_CHUNK_BYTES):
                pass
    except OSError as found:
        if is_trouble(found):
            return InputOutputError(path, f"cannot be read: {found.strerror}")
    return None
