"""Which videos a command is given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from vidattn.data.video_files import is_video_name, member_videos, videos_below
from vidattn.errors import AnnotationError, UnsafePathError
from vidattn.runs.list_files import LIST_SUFFIXES, listed_names
from vidattn.video.sources.addresses import TAR, AllowRemote, as_source, is_remote, local_part
from vidattn.video.sources.permission import RemotePermission, permission_of
from vidattn.video.sources.remote import RemoteFile


def listed_videos(
    given: Iterable[str | Path], allow_remote: AllowRemote = ()
) -> Iterator[str | Path]:
    """Videos, and those in folders, buckets and tar files and those that lists name; each once.

    Args:
        given: videos; folders, searched for videos with what lies below; folders of object stores,
            such as "s3://bucket/films/"; tar files; and lists (see `list_files`).
        allow_remote: see `vidattn.open_video`.

    Raises:
        AnnotationError: a path or a line names nothing, or what may not be read.
        UnsafePathError: an address that is not allowed.
        InputOutputError, VideoNotFoundError, MissingLibraryError: a store cannot be read.
    """
    permission = permission_of(allow_remote)
    return _each_once(_listed_videos(given, permission))


def _listed_videos(
    given: Iterable[str | Path], permission: RemotePermission
) -> Iterator[str | Path]:
    for each in given:
        path = _named(each)
        if (several := _several(each, permission)) is not None:
            yield from several
        elif is_remote(each):
            permission.check(local_part(each))
            yield each
        elif Path(local_part(each)).exists():
            yield each if os.fspath(each) != local_part(each) else path
        else:
            raise AnnotationError(path, 0, "there is no such video, folder or list")


def videos_and_folders(
    given: Iterable[str | Path], allow_remote: AllowRemote = ()
) -> Iterator[str | Path]:
    """As `listed_videos`, and folders of images.

    What names none of these is given too: who opens it says what is wrong.

    Raises:
        AnnotationError: a path is empty, or a line of a list names nothing.
        UnsafePathError, InputOutputError, VideoNotFoundError, MissingLibraryError: see
            `listed_videos`.
    """
    permission = permission_of(allow_remote)
    return _each_once(_videos_and_folders(given, permission))


def _videos_and_folders(
    given: Iterable[str | Path], permission: RemotePermission
) -> Iterator[str | Path]:
    for each in given:
        path = _named(each)
        several = _several(each, permission)
        if several is None:
            yield each  # as it was given: a path would take a slash from `http://…`
        elif path.is_dir():
            yield from list(several) or [path]
        else:
            yield from several


def _several(given: str | Path, permission: RemotePermission) -> Iterable[str | Path] | None:
    """The videos in a folder, a list or a tar file; None where it is none of these."""
    path, text = Path(given), os.fspath(given)
    if path.is_dir():
        return videos_below(path)
    if is_remote(text):
        if text.endswith("/"):
            return _in_store(text, permission)
        return member_videos(as_source(text, permission)) if _is_archive(text) else None
    if path.suffix.lower() in LIST_SUFFIXES and path.is_file():
        return _listed(path, permission)
    return member_videos(as_source(path)) if _is_archive(text) and path.is_file() else None


def _is_archive(address: str) -> bool:
    return address.lower().endswith(TAR)


def _in_store(folder: str, permission: RemotePermission) -> Iterator[str]:
    """Addresses of the videos in a folder of an object store, and what lies below."""
    if RemoteFile(folder, permission).is_http:
        raise AnnotationError(
            folder, 0, "HTTP servers do not say what their folders hold; expected a list of videos"
        )
    from vidattn.video.sources.object_store import files_below

    for address in files_below(folder):
        if is_video_name(address):
            yield address


def _each_once(videos: Iterable[str | Path]) -> Iterator[str | Path]:
    """Videos without those that came before in another spelling, such as `a.mp4` and `./a.mp4`.

    A link is another video than the file it leads to: results are named after both.
    """
    seen: set[str] = set()
    folders: dict[str, str] = {}
    for video in videos:
        place = os.fspath(video)
        if not is_remote(place):
            folder, name = os.path.split(place.rstrip("/"))
            if folder not in folders:
                folders[folder] = os.path.realpath(folder)
            place = os.path.join(folders[folder], name)
            if name in ("", ".", ".."):
                place = os.path.realpath(video)
        if place not in seen:
            seen.add(place)
            yield video


def _named(path: str | Path) -> Path:
    """A path that is not empty: an empty one would be the working folder, which nobody named."""
    if path == "":
        raise AnnotationError("", 0, "expected the path of a video, a folder or a list, got none")
    return Path(path)


def _listed(path: Path, permission: RemotePermission) -> Iterator[str | Path]:
    for line, name in listed_names(path):
        if "\0" in name:
            raise AnnotationError(path, line, f"NUL character in the path {name!r}")
        if is_remote(name.strip()):
            try:
                permission.check(local_part(name.strip()))
            except UnsafePathError as error:
                raise AnnotationError(path, line, str(error)) from error
            yield name.strip()
            continue
        exact, stripped = path.parent / name, path.parent / name.strip()
        video = exact if exact.exists() else stripped
        if not Path(local_part(video)).exists():
            raise AnnotationError(path, line, f"there is no file {name.strip()!r}")
        yield video


def list_digest(videos: Iterable[str | Path]) -> dict[str, Any]:
    """What tells one list from another, whatever its length, as JSON types.

    Args:
        videos: as the list named them, in order.
    """
    digest, count = sha256(), 0
    for video in videos:
        digest.update(os.fsencode(video) + b"\n")
        count += 1
    return {"count": count, "sha256": digest.hexdigest()}
