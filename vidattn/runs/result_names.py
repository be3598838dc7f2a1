"""How the results of each video are called, whatever else the list holds."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

# A whole name may have 255 bytes; this leaves room for an ending and a number.
LONGEST_BYTES = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
# Windows keeps these for devices, whatever ending they have.
_DEVICES = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?=\.|$)", re.I)
# What is written beside and below these names, so that no video's name can be one of them.
_OWN = re.compile(
    r"keyframes\.(json|csv)|features\.json|contact_sheet\.png|"
    r"(frame_\d+.*|poster)\.(png|jpg|webp)|.*\.npz",
    re.I,
)


def result_names(videos: Sequence[str | Path], given: Iterable[str | Path] = ()) -> list[str]:
    """A name for the results of each video, with `/`: its path below the folder that was given.

    Without its suffix. A video of a list has its path below the folder of the list; a video that
    was given itself, or lies elsewhere, has its file name. What some file system does not take
    (`con`, `a:b`, `a.`, names of 250 bytes) is replaced.

    If an earlier video of the list has the same name, or one that some file system takes for the
    same (`A` and `a`, or `é` written in two ways), the name keeps its suffix, and if that is not
    enough, a digest of the path follows. So videos that are added at the end of a list do not
    change the names of the others.

    Args:
        videos: as the list named them.
        given: what the person gave: videos, folders and lists.
    """
    roots = list(dict.fromkeys(_roots(given)))
    names: list[str] = []
    taken: set[str] = set()
    for video in videos:
        name = next(name for name in _candidates(video, roots) if _key(name) not in taken)
        names.append(name)
        taken.add(_key(name))
    return names


def _roots(given: Iterable[str | Path]) -> Iterator[str]:
    """Folders that videos were looked for in."""
    for each in given:
        path = os.path.abspath(each)
        if os.path.isdir(path):
            yield path
        elif path.lower().endswith(".txt"):
            yield os.path.dirname(path)


def _candidates(video: str | Path, roots: Sequence[str]) -> Iterator[str]:
    path = os.path.abspath(video)
    own: tuple[str, ...] = (os.path.basename(path),)
    for root in roots:
        if path.startswith(os.path.join(root, "")):
            own = PurePath(path[len(root) :].lstrip(os.sep)).parts
            break
    folder = [_safe(part) for part in own[:-1]]
    short = "/".join([*folder, _safe(_stem(own[-1]))]) if own[-1] else "video"
    yield short
    yield "/".join([*folder, _safe(own[-1])]) or "video"
    listed = os.path.normpath(video).encode(errors="surrogatepass")
    yield f"{short}~{hashlib.sha256(listed).hexdigest()[:8]}"
    number = 2
    while True:  # the same path once more
        yield f"{short}~{hashlib.sha256(listed).hexdigest()[:8]}_{number}"
        number += 1


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
