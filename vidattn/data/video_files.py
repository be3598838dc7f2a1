"""Which files of a folder are videos, and what is said of those that are left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vidattn.video.containers import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vidattn.video.limits import DEFAULT_LIMITS
from vidattn.video.sources.addresses import MEMBER
from vidattn.video.sources.source import VideoSource
from vidattn.video.sources.tar_shards import members_of

# What often lies beside videos and plainly is none; nobody need hear that it was left out.
_OTHER_SUFFIXES = IMAGE_SUFFIXES | {
    *(".ass", ".avif", ".csv", ".heic", ".htm", ".html", ".ini", ".json", ".jsonl", ".log"),
    *(".md", ".npy", ".npz", ".pdf", ".py", ".sh", ".srt", ".sub", ".svg", ".tif", ".tiff"),
    *(".toml", ".tsv", ".txt", ".vtt", ".xml", ".yaml", ".yml"),
}
_SHOWN = 3

logger = logging.getLogger(__name__)


def visible(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, sorted; hidden are also the shadows that macOS leaves."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def may_be_video(entry: Path) -> bool:
    """Whether what lies in a class folder counts: a file by its suffix, or a folder of images."""
    if entry.suffix.lower() not in VIDEO_SUFFIXES:
        return entry.is_dir()
    # A folder may be called like a film, too; then it counts if it holds frames.
    return not entry.is_dir() or bool(images_in(entry))


def images_in(folder: Path) -> list[Path]:
    """The frame images in a folder, by their suffix."""
    return [entry for entry in visible(folder) if entry.suffix.lower() in IMAGE_SUFFIXES]


def videos_below(folder: str | Path) -> list[Path]:
    """Files with a suffix of videos in a folder and what lies below, sorted.

    Hidden files and folders are passed over, and folders that are called like films are searched
    like others. Files that might be videos all the same are named in a line of the log.
    """
    found: list[Path] = []
    left_out: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_remark_unread):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(parent, name) for name in names if not name.startswith(".")):
            (found if file.suffix.lower() in VIDEO_SUFFIXES else left_out).append(file)
    remark_left_out(folder, left_out)
    return sorted(file for file in found if not file.is_dir())


def member_videos(archive: VideoSource) -> list[str]:
    """Addresses of the videos in a tar file, in its order: members with a suffix of videos.

    Raises:
        VideoError: the tar file cannot be read.
    """
    content = archive.find(DEFAULT_LIMITS)
    try:
        members = [name for name in members_of(content) if is_video_name(name)]
    finally:
        content.close()
    return [f"{archive}{MEMBER}{name}" for name in members]


def is_video_name(name: str) -> bool:
    """Whether the name of a member or an address is one of videos that are not hidden."""
    file = PurePosixPath(name)
    return file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith(".")


def _remark_unread(error: OSError) -> None:
    logger.warning("%s: left out, cannot be read (%s)", error.filename, error.strerror)


def remark_left_out(folder: str | Path, files: Sequence[Path]) -> None:
    """Say in a line of the log which files were left out, unless they plainly are no videos."""
    doubtful = [file for file in files if file.suffix.lower() not in _OTHER_SUFFIXES]
    if doubtful:
        names = ", ".join(file.name for file in doubtful[:_SHOWN])
        more = ", …" if len(doubtful) > _SHOWN else ""
        logger.warning(
            "%s: left out: %s%s (%d without a suffix of videos)", folder, names, more, len(doubtful)
        )
