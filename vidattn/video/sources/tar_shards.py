"""Videos in tar files, which are read where they lie in the file."""

from __future__ import annotations

import posixpath
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from vidattn.errors import NotAVideoError, UnsafePathError, VideoNotFoundError
from vidattn.video.limits import Limits
from vidattn.video.sources.paths import refuse_playlist
from vidattn.video.sources.source import ContentStream, ReadAt, SourceContent, VideoSource

# Beginnings of what is no tar file, though it is called so.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
# Tar files whose tables are kept in memory.
_KEPT_TABLES = 16


class Place(NamedTuple):
    """Where a member lies in its tar file.

    Attributes:
        offset, size: of its content, in bytes.
        trouble: why its content cannot be read there; "" if it can.
    """

    offset: int
    size: int
    trouble: str


@dataclass(frozen=True)
class TarMember(VideoSource):
    """A video in an uncompressed tar file; nothing is extracted.

    Attributes:
        archive: the tar file.
        member: its name there.
    """

    archive: VideoSource
    member: str

    def __str__(self) -> str:
        return f"{self.archive}::{self.member}"

    def find(self, limits: Limits) -> PartContent:
        """See `VideoSource.find`.

        Raises:
            VideoNotFoundError: there is no such member, besides.
            NotAVideoError: the member is a link, sparse, or no file.
            UnsafePathError: its name leads out of the archive.
        """
        check_member_name(str(self), self.member)
        with ExitStack() as stack:
            shard = self.archive.find(limits)
            stack.callback(shard.close)
            place = members_of(shard).get(self.member)
            if place is None:
                raise VideoNotFoundError(self, f"no member {self.member!r} is in the tar file")
            if place.trouble:
                raise NotAVideoError(self, place.trouble)
            content = PartContent(str(self), self.file_name, shard, place.offset, place.size)
            refuse_playlist(content.name, content.read_at(0, 4096))
            stack.pop_all()
        return content


class PartContent(SourceContent):
    """Some of the bytes of another content, one after the other."""

    def __init__(
        self, name: str, file_name: str, whole: SourceContent, offset: int, size: int
    ) -> None:
        self.name, self.file_name, self.size = name, file_name, size
        self.version = None if whole.version is None else f"{whole.version} at {offset}"
        self._whole, self._offset = whole, offset

    def read_at(self, offset: int, size: int) -> bytes:
        """See `SourceContent.read_at`."""
        with self.reading() as read_at:
            return read_at(offset, size)

    @contextmanager
    def reading(self) -> Iterator[ReadAt]:
        """See `SourceContent.reading`."""
        with self._whole.reading() as read_whole:

            def read_at(offset: int, size: int) -> bytes:
                return read_whole(self._offset + offset, min(size, max(self.size - offset, 0)))

            yield read_at

    def check_unchanged(self) -> None:
        """See `SourceContent.check_unchanged`."""
        self._whole.check_unchanged()

    def close(self) -> None:
        """See `SourceContent.close`."""
        self._whole.close()


def check_member_name(address: str, member: str) -> None:
    """Raise `UnsafePathError` where the name of a member leads out of its archive."""
    if member.startswith("/") or ".." in member.split("/") or "\0" in member or not member:
        raise UnsafePathError(
            address.replace("\0", "\\0"), "expected a member with a relative name without '..'"
        )


_tables: OrderedDict[tuple[str, int, str], dict[str, Place]] = OrderedDict()
_lock = Lock()


def members_of(shard: SourceContent) -> dict[str, Place]:
    """Name -> place of each member of a tar file, in order; of two with one name the last.

    The headers are read once; tables of a few tar files are kept.

    Raises:
        NotAVideoError: no tar file, a compressed one, or one that is damaged or cut off.
        InputOutputError: the disk or the network failed.
    """
    if shard.version is None:
        return dict(_read_members(shard))
    key = shard.name, shard.size, shard.version
    with _lock:
        if key in _tables:
            _tables.move_to_end(key)
            return _tables[key]
    found = dict(_read_members(shard))
    with _lock:
        _tables[key] = found
        while len(_tables) > _KEPT_TABLES:
            _tables.popitem(last=False)
    return found


def _read_members(shard: SourceContent) -> Iterator[tuple[str, Place]]:
    head = shard.read_at(0, 8)
    for mark, kind in _COMPRESSED.items():
        if head.startswith(mark):
            raise NotAVideoError(
                shard.name, f"a tar file compressed by {kind}; expected an uncompressed one"
            )
    try:
        with ContentStream(shard) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if not member.isdir():
                    yield _name(member), _place(member, shard.size)
                archive.members = []  # type: ignore[attr-defined] # it would keep all of them
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise NotAVideoError(shard.name, f"not a tar file that can be read: {error}") from error
    if any(shard.read_at(end, 512)):  # where tarfile stops without a word
        raise NotAVideoError(shard.name, f"not a tar file that can be read: damaged at byte {end}")


def _name(member: tarfile.TarInfo) -> str:
    name = member.name
    return posixpath.normpath(name) if name.startswith("./") else name


def _place(member: tarfile.TarInfo, shard_bytes: int) -> Place:
    trouble = ""
    if member.issym() or member.islnk():
        trouble = f"a link to {member.linkname!r}; expected a file"
    elif member.issparse():
        trouble = "a sparse file, whose content does not lie in one piece; expected a plain file"
    elif not member.isreg():
        trouble = "neither a file nor a folder"
    elif member.size == 0:
        trouble = "the file is empty (zero bytes)"
    elif member.offset_data + member.size > shard_bytes:
        trouble = "the tar file ends before this member does"
    return Place(member.offset_data, member.size, trouble)
