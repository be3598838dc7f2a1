from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from vidattn.data.annotations import VIDEO_SUFFIXES
from vidattn.errors import AnnotationError


def listed_videos(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Videos, those below folders, and those that `.txt` files name, one path a line.

    Raises:
        AnnotationError: a path or a line names nothing.
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(
                file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES
            )
        elif path.suffix.lower() == ".txt":
            yield from _listed(path)
        elif path.exists():
            yield path
        else:
            raise AnnotationError(path, 0, "there is no such video, folder or list")


def videos_and_folders(paths: Iterable[str | Path]) -> Iterator[str | Path]:
    """Videos, those below folders, those that `.txt` files name, and folders of frame images.

    What names none of these is given too: who opens it says what is wrong.

    Raises:
        AnnotationError: a line of a list names nothing.
    """
    for path in paths:
        if Path(path).is_dir():
            below = list(listed_videos([path]))
            yield from below or [Path(path)]
        elif Path(path).suffix.lower() == ".txt" and Path(path).is_file():
            yield from listed_videos([path])
        else:
            yield path


def _listed(path: Path) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(path, 0, f"cannot be read as a list of paths: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        video = path.parent / line.strip()
        if not video.exists():
            raise AnnotationError(path, number, f"there is no file {line.strip()!r}")
        yield video


def result_names(videos: Sequence[Path]) -> list[str]:
    """A name for the results of each video: its path below the folder they share.

    Without its suffix, unless two videos differ by nothing else.
    """
    if not videos:
        return []
    paths = [Path(os.path.abspath(video)) for video in videos]
    root = os.path.commonpath([path.parent for path in paths])
    names = [PurePath(os.path.relpath(path, root)) for path in paths]
    counts = Counter(name.with_suffix("") for name in names)
    return [
        (name if counts[name.with_suffix("")] > 1 else name.with_suffix("")).as_posix()
        for name in names
    ]
