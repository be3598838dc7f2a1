"""Films that are trained on and tested on: what they say of a network is nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.data.annotations import Sample
from vidattn.errors import VideoError
from vidattn.video.limits import DEFAULT_LIMITS
from vidattn.video.sources.local import LocalFile
from vidattn.video.sources.source import VideoSource
from vidattn.video.sources.tar_shards import TarMember

_Video = Path | VideoSource
_EDGE_BYTES = 65_536
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class SharedFilm:
    """A film on both sides of a split.

    Attributes:
        trained: path in training.
        held_out: path in validation or test; another one where only the content is the same.
    """

    trained: Path | VideoSource
    held_out: Path | VideoSource

    def __str__(self) -> str:
        if self.trained == self.held_out:
            return str(self.held_out)
        return f"{self.held_out} (the same as {self.trained})"


def shared_films(training: Sequence[Sample], held_out: Sequence[Sample]) -> list[SharedFilm]:
    """Films of one side that are on the other too, by path or by content.

    Paths are compared with symbolic links resolved. Two files have the same content if they are of
    one size, and so are their first and last 64 KiB; of two folders of images, the names and sizes
    of all images, and the content of the first and the last, count. Only files whose size occurs on
    both sides are read, and nothing on servers. What cannot be read is passed over: training says
    so itself.
    """
    by_path = {sample.path: sample for sample in training}
    sizes = _by_size(sample.path for sample in training)
    found = []
    for sample in held_out:
        if sample.path in by_path:
            found.append(SharedFilm(sample.path, sample.path))
            continue
        size = _size(sample.path)
        alike = [] if size is None else sizes.get(size, [])
        mark = _mark(sample.path) if alike else None
        same = [path for path in alike if mark is not None and _mark(path) == mark]
        found.extend(SharedFilm(path, sample.path) for path in same[:1])
    return found


def describe_overlap(
    training: Sequence[Sample], held_out: Sequence[Sample], side: str
) -> str | None:
    """One line about the films that both sides have; None where there are none.

    Args:
        training, held_out: samples.
        side: what the second ones are for, such as "validation".
    """
    found = shared_films(training, held_out)
    if not found:
        return None
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    return (
        f"{len(found)} of {len(held_out)} videos of {side} are trained on too, so its figures "
        f"promise too much: {', '.join(map(str, found[:_NAMES_SHOWN]))}{more}"
    )


def _by_size(paths: Iterable[_Video]) -> dict[int, list[_Video]]:
    sizes: dict[int, list[_Video]] = {}
    for path in paths:
        if (size := _size(path)) is not None:
            sizes.setdefault(size, []).append(path)
    return sizes


def _size(path: _Video) -> int | None:
    """Bytes of a file, or of all images of a folder; None for nothing and what is not there."""
    if isinstance(path, VideoSource):
        return _size_of_member(path)
    try:
        return sum(file.stat().st_size for file in _files(path)) or None
    except OSError:
        return None


def _size_of_member(video: VideoSource) -> int | None:
    if not isinstance(video, TarMember) or not isinstance(video.archive, LocalFile):
        return None  # a server would be asked once for each video
    try:
        content = video.find(DEFAULT_LIMITS)
    except VideoError:
        return None
    content.close()
    return content.size


def _mark_of_source(video: VideoSource) -> str | None:
    digest = hashlib.sha256()
    try:
        content = video.find(DEFAULT_LIMITS)
        edge = min(_EDGE_BYTES, content.size)
        for _ in range(2):  # as of a file, which is its own first and last one
            digest.update(content.read_at(0, edge))
            digest.update(content.read_at(content.size - edge, edge))
        content.close()
    except VideoError:
        return None
    return digest.hexdigest()


def _mark(path: _Video) -> str | None:
    """What tells contents apart; None where it cannot be read."""
    if isinstance(path, VideoSource):
        return _mark_of_source(path)
    digest = hashlib.sha256()
    try:
        files = list(_files(path))
        for file in files[1:]:
            digest.update(f"{file.name} {file.stat().st_size}\n".encode(errors="surrogateescape"))
        for file in (files[0], files[-1]):
            with file.open("rb") as stream:
                digest.update(stream.read(_EDGE_BYTES))
                stream.seek(-min(_EDGE_BYTES, file.stat().st_size), 2)
                digest.update(stream.read())
    except OSError:
        return None
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(entry for entry in path.iterdir() if entry.is_file())
    else:
        yield path
