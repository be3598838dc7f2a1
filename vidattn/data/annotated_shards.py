"""Labelled videos in tar files: class folders, or the layout that WebDataset reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from vidattn.data.video_files import is_video_name
from vidattn.errors import AnnotationError, VideoError
from vidattn.video.limits import DEFAULT_LIMITS
from vidattn.video.sources.addresses import TAR
from vidattn.video.sources.source import SourceContent, VideoSource
from vidattn.video.sources.tar_shards import Place, members_of

# Ending of the file that holds the class of a video of the same name.
_CLASS_FILE = ".cls"
_LONGEST_CLASS_BYTES = 4096


def shards_in(folder: Path) -> list[Path]:
    """The tar files in a folder that has nothing else but plain files, sorted."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if any(entry.is_dir() for entry in entries):
        return []
    return [entry for entry in entries if entry.suffix.lower() == TAR]


def labelled_members(shard: VideoSource) -> Iterator[tuple[str, str]]:
    """Name and class of each video in a tar file, sorted as files in folders are.

    The class is what the `.cls` file of the same name holds (`a.cls` of `a.mp4`), else the name of
    the folder that the video is in.

    Raises:
        AnnotationError: the tar file cannot be read, holds no video, or one without a class.
    """
    try:
        content = shard.find(DEFAULT_LIMITS)
        try:
            members = members_of(content)
            videos = sorted(filter(is_video_name, members), key=PurePosixPath)
            if not videos:
                raise AnnotationError(shard, 0, "a tar file without videos")
            for name in videos:
                yield name, _class(shard, content, members, PurePosixPath(name))
        finally:
            content.close()
    except VideoError as error:
        raise AnnotationError(shard, 0, error.reason) from error


def _class(
    shard: VideoSource, content: SourceContent, members: Mapping[str, Place], video: PurePosixPath
) -> str:
    key = video.name.partition(".")[0]
    place = members.get(str(video.with_name(f"{key}{_CLASS_FILE}")))
    label = video.parent.name
    if place is not None:
        text = content.read_at(place.offset, min(place.size, _LONGEST_CLASS_BYTES))
        label = text.decode(errors="replace").strip()
    if not label:
        raise AnnotationError(
            shard, 0, f"{video}: expected a folder named after its class, or {key}{_CLASS_FILE}"
        )
    return label
