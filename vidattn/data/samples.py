"""One annotated video, and how annotations find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidattn.data.part_columns import Part, part_suffix
from vidattn.data.video_files import images_in
from vidattn.errors import AnnotationError, VideoError
from vidattn.video.limits import DEFAULT_LIMITS
from vidattn.video.sources.addresses import MEMBER, AllowRemote, as_source, is_remote, local_part
from vidattn.video.sources.permission import RemotePermission, permission_of
from vidattn.video.sources.source import VideoSource
from vidattn.video.sources.tar_shards import TarMember


@dataclass(frozen=True)
class Sample:
    """One annotated video, or an annotated part of one.

    Attributes:
        path: the file, or the folder of frame images; absolute, symbolic links resolved. Of a
            video in a tar file or on a server, its source.
        labels: class names; none where nobody has labelled it.
        video_id: the path under the data root, with `/`, or the address; of a part, `#t=start,end`
            follows (as in https://www.w3.org/TR/media-frags/#naming-time), so that each is told
            from the others.
        group: what must not be torn apart between training and validation, such as the source
            that clips were cut from; None: the video stands for itself.
        fold: cross-validation fold, where the annotations name one.
        line: 1-based line in the annotation file; 0 for class folders.
        start_seconds, end_seconds: the sample is the frames shown from then on and before then,
            on the video's own clock; None: from its first frame, or to its last.
    """

    path: Path | VideoSource
    labels: tuple[str, ...]
    video_id: str
    group: str | None = None
    fold: int | None = None
    line: int = 0
    start_seconds: float | None = None
    end_seconds: float | None = None

    @property
    def name(self) -> str:
        """The path, and the part where it is one: what it is called in messages."""
        return f"{self.path}{part_suffix(self.start_seconds, self.end_seconds)}"


class SampleFiles:
    """Finds the videos that one annotation file names, all of them under one root.

    Args:
        annotations: the file, for messages.
        root: folder that the videos lie under.
        allow_remote: see `vidattn.open_video`.

    Raises:
        AnnotationError: the root is no folder.
    """

    def __init__(self, annotations: Path, root: Path, allow_remote: AllowRemote = ()) -> None:
        self.annotations = annotations
        self.permission: RemotePermission = permission_of(allow_remote)
        if not root.is_dir():
            raise AnnotationError(annotations, 0, f"data root {root} is not a folder")
        self.root = root.resolve()
        self.lines: dict[str, int] = {}

    def sample(
        self,
        name: str,
        labels: tuple[str, ...],
        line: int,
        group: str | None = None,
        fold: int | None = None,
        part: Part | None = None,
    ) -> Sample:
        """A video by its path or address, as the annotations name it on a line.

        Raises:
            AnnotationError: there is none, it may not be read, or it was listed before.
        """
        path, video = self._resolve(name, line)
        start, end = part or (None, None)
        video_id = video + part_suffix(start, end)
        if video_id in self.lines:
            what = repr(name) if video_id == video else f"the same part of {name!r}"
            first = f" on line {self.lines[video_id]}" if line else ""
            raise AnnotationError(self.annotations, line, f"{what} was listed before{first}")
        self.lines[video_id] = line
        if part is not None:
            group = group or video  # parts of one film are not to be torn apart
        return Sample(path, labels, video_id, group, fold, line, start, end)

    def _resolve(self, name: str, line: int) -> tuple[Path | VideoSource, str]:
        """Where a video is, and what it is called under the root."""
        if not name:
            raise AnnotationError(self.annotations, line, "empty path")
        if "\0" in name:
            raise AnnotationError(self.annotations, line, f"NUL character in the path {name!r}")
        try:
            if is_remote(name):
                return as_source(name, self.permission), name
            if local_part(name) != name and not (self.root / name).exists():
                return self._member(name, line)
            path = self._video(name, line)
            return path, path.relative_to(self.root).as_posix()
        except VideoError as error:
            raise AnnotationError(self.annotations, line, str(error)) from error
        except (OSError, RuntimeError) as error:  # too long a name; a loop of links
            raise AnnotationError(self.annotations, line, f"{name!r}: {error}") from error

    def _member(self, name: str, line: int) -> tuple[VideoSource, str]:
        file, member = self._inside(self.root / local_part(name), name, line), name.split(MEMBER, 1)
        source = as_source(f"{file}{MEMBER}{member[1]}")
        if isinstance(source, TarMember):  # a row would have to be read
            source.find(DEFAULT_LIMITS).close()
        return source, f"{file.relative_to(self.root).as_posix()}{MEMBER}{member[1]}"

    def _video(self, name: str, line: int) -> Path:
        path = self._inside(self.root / name, name, line)
        if path.is_file():
            return path
        if not path.is_dir():
            raise AnnotationError(self.annotations, line, f"no such file: {path}")
        images = images_in(path)
        if not images:
            raise AnnotationError(self.annotations, line, f"folder without images: {path}")
        for image in images:
            if image.is_symlink():
                self._inside(image, name, line)
        return path

    def _inside(self, path: Path, name: str, line: int) -> Path:
        resolved = path.resolve()
        if not resolved.is_relative_to(self.root) or resolved == self.root:
            reason = (
                f"{name!r} leads out of the data root {self.root}; --root sets another root "
                "(data.root in the configuration of a training), such as / for absolute paths"
            )
            raise AnnotationError(self.annotations, line, reason)
        return resolved
