"""Which videos a command is given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from vidattn.data.video_files import videos_below
from vidattn.errors import AnnotationError
from vidattn.files import read_utf8

Given = TypeVar("Given", str | Path, Path)


def listed_videos(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Videos, those below folders, and those that `.txt` files name, one path a line; each once.

    Raises:
        AnnotationError: a path or a line names nothing.
    """
    return _each_once(_listed_videos(paths))


def _listed_videos(paths: Iterable[str | Path]) -> Iterator[Path]:
    for given in paths:
        path = _named(given)
        if path.is_dir():
            yield from videos_below(path)
        elif path.suffix.lower() == ".txt":
            yield from _listed(path)
        elif path.exists():
            yield path
        else:
            raise AnnotationError(path, 0, "there is no such video, folder or list")


def videos_and_folders(paths: Iterable[str | Path]) -> Iterator[str | Path]:
    """Videos, those below folders, those that `.txt` files name, and folders of images; each once.

    What names none of these is given too: who opens it says what is wrong.

    Raises:
        AnnotationError: a path is empty, or a line of a list names nothing.
    """
    return _each_once(_videos_and_folders(paths))


def _videos_and_folders(paths: Iterable[str | Path]) -> Iterator[str | Path]:
    for given in paths:
        path = _named(given)
        if path.is_dir():
            below = videos_below(path)
            yield from below or [path]
        elif path.suffix.lower() == ".txt" and path.is_file():
            yield from listed_videos([path])
        else:
            yield given  # as it was given: a path would take a slash from `http://…`


def _each_once(videos: Iterable[Given]) -> Iterator[Given]:
    """Videos without those that came before in another spelling, such as `a.mp4` and `./a.mp4`.

    A link is another video than the file it leads to: results are named after both.
    """
    seen: set[str] = set()
    folders: dict[str, str] = {}
    for video in videos:
        folder, name = os.path.split(os.fspath(video).rstrip("/"))
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


def _listed(path: Path) -> Iterator[Path]:
    # Lines end where editors end them: other line breaks of Unicode may be in names.
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        name = line.removesuffix("\r")
        if not name.strip():
            continue
        if "\0" in name:
            raise AnnotationError(path, number, f"NUL character in the path {name!r}")
        exact, stripped = path.parent / name, path.parent / name.strip()
        video = exact if exact.exists() else stripped
        if not video.exists():
            raise AnnotationError(path, number, f"there is no file {name.strip()!r}")
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
