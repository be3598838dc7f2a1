"""How the results of each video are called, whatever else the list holds."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from vidattn.runs.list_files import LIST_SUFFIXES
from vidattn.video.sources.addresses import MEMBER, is_remote, local_part
from vidattn.video.sources.remote import address_parts

# A whole name may have 255 bytes; this leaves room for an ending and a number.
LONGEST_BYTES = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
# Windows keeps these for devices, whatever ending they have.
_DEVICES = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?=\.|$)", re.I)
# What is written beside and below these names, so that no video's name can be one of them.
_OWN = re.compile(
    r"keyframes\.(json|csv|html)|shots\.(json|html)|features\.json|contact_sheet\.(jpg|png)|"
    r"(frame_\d+.*|poster)\.(png|jpg|webp)|.*\.npz",
    re.I,
)


def result_names(videos: Sequence[str | Path], given: Iterable[str | Path] = ()) -> list[str]:
    """A name for the results of each video, with `/`: its path below the folder that was given.

    Without its suffix. A video of a list has its path below the folder of the list; a video that
    was given itself, or lies elsewhere, has its file name. A video on a server that a list names
    has the server and the path there, one in a tar file the name of that and its own path in it.
    What some file system does not take
    (`con`, `a:b`, `a.`, names of 250 bytes) is replaced.

    If an earlier video of the list has the same name, or one that some file system takes for the
    same (`A` and `a`, or `é` written in two ways), the name keeps its suffix, or a digest of the
    path follows where that does not help. So videos that are added at the end of a list do not
    change the names of the others.

    Args:
        videos: as the list named them.
        given: what the person gave: videos, folders and lists.
    """
    own = [os.fspath(each) for each in given]
    roots, alone = list(dict.fromkeys(_roots(own))), frozenset(own)
    names: list[str] = []
    taken: dict[str, str] = {}  # what is the same for names that are -> file name
    for video in videos:
        *folders, file = _parts(os.fspath(video), roots, alone)
        folder = "".join(f"{safe_name(part)}/" for part in folders)
        name = folder + safe_name(_stem(file)) if file else "video"
        if _key(name) in taken and taken[_key(name)] != _key(file):
            name = folder + safe_name(file)
        if _key(name) in taken:
            name = _with_digest(name, video, taken)
        names.append(name)
        taken[_key(name)] = _key(file)
    return names


def _roots(given: Iterable[str]) -> Iterator[str]:
    """Folders that videos were looked for in."""
    for each in given:
        path = os.path.abspath(each)
        if os.path.isdir(path):
            yield path
        elif is_remote(each):
            if each.endswith("/"):
                yield each
        elif path.lower().endswith(tuple(LIST_SUFFIXES)):
            yield os.path.dirname(path)


def _parts(video: str, roots: Sequence[str], alone: Container[str]) -> Sequence[str]:
    """The path of a video below the first folder that holds it, else its file name.

    Args:
        roots: folders that videos were looked for in.
        alone: what was given itself.
    """
    archive = local_part(video)
    if archive != video:
        *folders, file = _parts(archive, roots, alone)
        return [*folders, _stem(file), *video.removeprefix(archive + MEMBER).split("/")]
    if is_remote(video):
        below = next((root for root in roots if video.startswith(root)), None)
        parts = address_parts(video)
        if below is not None:
            return parts[len(address_parts(below)) :]
        return parts[-1:] if video in alone else parts
    path = os.path.abspath(video)
    for root in roots:
        if path.startswith(os.path.join(root, "")):
            return PurePath(path[len(root) :].lstrip(os.sep)).parts
    return (os.path.basename(path),)


def _with_digest(name: str, video: str | Path, taken: Container[str]) -> str:
    listed = os.path.normpath(video).encode(errors="surrogatepass")
    name = f"{name}~{hashlib.sha256(listed).hexdigest()[:8]}"
    number = 1
    while _key(name if number == 1 else f"{name}_{number}") in taken:  # the same path once more
        number += 1
    return name if number == 1 else f"{name}_{number}"


def _key(name: str) -> str:
    """What is the same for names that any file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _stem(name: str) -> str:
    stem, _, _ = name.rpartition(".")
    return stem if stem.strip(". ") else name


def safe_name(name: str) -> str:
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
