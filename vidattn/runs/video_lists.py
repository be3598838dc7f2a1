"""Which videos a command is given, and how the results of each are called."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vidattn.data.video_files import videos_below
from vidattn.errors import AnnotationError
from vidattn.files import read_utf8

# A whole name may have 255 bytes; this leaves room for an ending and a number.
LONGEST_BYTES = 200
Given = TypeVar("Given", str | Path, Path)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
# Windows keeps these for devices, whatever ending they have.
_DEVICES = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?=\.|$)", re.I)
# What is written beside and below these names, so that no video's name can be one of them.
_OWN = re.compile(
    r"keyframes\.(json|csv)|features\.json|contact_sheet\.png|"
    r"(frame_\d+.*|poster)\.(png|jpg|webp)|.*\.npz",
    re.I,
)


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


def result_names(videos: Sequence[str | Path]) -> list[str]:
    """A name for the results of each video: its path below the folder they share, with `/`.

    Without its suffix, unless two videos differ by nothing else. What some file system does not
    take (`con`, `a:b`, `a.`, names of 250 bytes) is replaced, and names that some file system
    takes for the same (`A` and `a`, or `é` written in two ways) are numbered.
    """
    if not videos:
        return []
    paths = [Path(os.path.abspath(video)) for video in videos]
    root = os.path.commonpath([path.parent for path in paths])
    parts = [Path(os.path.relpath(path, root)).parts for path in paths]
    whole = ["/".join(map(_safe, own)) for own in parts]
    short = ["/".join(map(_safe, (*own[:-1], _stem(own[-1])) if own else ())) for own in parts]
    counts = Counter(map(_key, short))
    names: list[str] = []
    taken: set[str] = set()
    for with_suffix, without in zip(whole, short, strict=True):
        wanted = (with_suffix if counts[_key(without)] > 1 else without) or "video"
        names.append(_free(wanted, taken))
        taken.add(_key(names[-1]))
    return names


def _free(name: str, taken: set[str]) -> str:
    if _key(name) not in taken:
        return name
    number = 2
    while _key(f"{name}_{number}") in taken:
        number += 1
    return f"{name}_{number}"


def _key(name: str) -> str:
    """What is the same for names that any file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _stem(name: str) -> str:
    stem, _, _ = name.rpartition(".")
    return stem if stem.strip(". ") else name


def _safe(name: str) -> str:
    """One part of a path as every file system takes it."""
    name = _FORBIDDEN.sub("_", name)
    if name != name.rstrip(". "):
        name = name.rstrip(". ") + "_"
    if name.startswith((".", " ")):  # hidden
        name = "_" + name[1:]
    name = _DEVICES.sub(r"\g<0>_", name)
    if _OWN.fullmatch(name):
        name += "_"
    if len(name.encode()) > LONGEST_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        kept = name.encode()[: LONGEST_BYTES - 9].decode(errors="ignore").rstrip(". ")
        name = f"{kept}~{digest}"
    return name
