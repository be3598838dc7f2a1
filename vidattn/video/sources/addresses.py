"""What a person may write for a video, and the source that it means."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import IO, BinaryIO, TypeAlias, Union

from vidattn.errors import ArgumentError, NotAVideoError
from vidattn.video.sources.local import LocalFile
from vidattn.video.sources.memory import InMemory, OpenFile
from vidattn.video.sources.permission import RemotePermission, permission_of
from vidattn.video.sources.remote import RemoteFile
from vidattn.video.sources.source import VideoSource

VideoLike: TypeAlias = Union[
    str,
    "os.PathLike[str]",
    bytes,
    bytearray,
    memoryview,
    BinaryIO,
    "IO[bytes]",
    "Mapping[str, object]",
    VideoSource,
]
AllowRemote: TypeAlias = Sequence[str] | RemotePermission
# Between an archive and one of its members.
MEMBER = "::"
TAR, PARQUET = ".tar", ".parquet"
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")


def as_source(video: VideoLike, allow_remote: AllowRemote = ()) -> VideoSource:
    """The source that a person means.

    Args:
        video: the path of a file or a folder of images; the address of a member of a tar file
            (`shard.tar::clip.mp4`), of a row of a Parquet file (`rows.parquet::video[7]`), or, if
            that is allowed, of a file on a server (`s3://bucket/clip.mp4`); the bytes of a file; an
            open binary file; a source; an undecoded row of a video column of a Hugging Face data
            set, which has its `bytes` or its `path`.
        allow_remote: see `RemotePermission`.

    Raises:
        UnsafePathError: a remote address that is not allowed.
        ArgumentError: it is none of these.
    """
    if isinstance(video, VideoSource):
        return video
    if isinstance(video, bytes | bytearray | memoryview):
        return InMemory(video)
    if isinstance(video, Mapping):
        return _row_source(video, allow_remote)
    if isinstance(video, str | os.PathLike):
        return _addressed(video, allow_remote)
    if callable(getattr(video, "read", None)):
        return OpenFile(video)
    raise ArgumentError(
        "video: expected a path, an address, bytes, a binary file or a row of a data set with "
        f"`bytes` or `path`, got {type(video).__name__}; a column of decoded videos gives such "
        "rows after dataset.cast_column(name, datasets.Video(decode=False))"
    )


def local_part(address: str | os.PathLike[str]) -> str:
    """The file that an address lies in: of a member, its archive.

    >>> local_part("shards/000.tar::clip.mp4"), local_part("clip.mp4")
    ('shards/000.tar', 'clip.mp4')
    """
    text = os.fspath(address)
    archive, mark, _ = text.partition(MEMBER)
    return archive if mark and archive.lower().endswith((TAR, PARQUET)) else text


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Whether an address is of the form of those on servers, and no file of this machine.

    >>> is_remote("https://example.org/clip.mp4"), is_remote("clip.mp4")
    (True, False)
    """
    text = os.fspath(address)
    return bool(_URL.match(text)) and not os.path.exists(text)


def _addressed(address: str | os.PathLike[str], allow_remote: AllowRemote) -> VideoSource:
    text = os.fspath(address)
    if not isinstance(text, str) or (MEMBER not in text and not _URL.match(text)):
        return LocalFile(address)
    if os.path.exists(text):
        return LocalFile(address)  # files may be called so
    archive, mark, member = text.partition(MEMBER)
    if mark and archive.lower().endswith(TAR):
        from vidattn.video.sources.tar_shards import TarMember

        return TarMember(_addressed(archive, allow_remote), member)
    if mark and archive.lower().endswith(PARQUET) and not _URL.match(text):
        from vidattn.video.sources.parquet_rows import ParquetRow

        return ParquetRow.at(archive, member)
    if _URL.match(text):
        return RemoteFile(_lower_scheme(text), permission_of(allow_remote))
    return LocalFile(address)


def _lower_scheme(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return scheme.lower() + mark + rest


def _row_source(row: Mapping[str, object], allow_remote: AllowRemote) -> VideoSource:
    """The video of an undecoded row of a data set: its bytes where it has them, else its path."""
    data, path = row.get("bytes"), row.get("path")
    name = path if isinstance(path, str) else ""
    if isinstance(data, bytes | bytearray | memoryview):
        return InMemory(data, name)
    if data is not None:
        raise ArgumentError(f"bytes: expected bytes of a video, got {type(data).__name__}")
    if not name:
        raise NotAVideoError("row of a data set", "it has neither `bytes` nor a `path`")
    return _addressed(name, allow_remote)
