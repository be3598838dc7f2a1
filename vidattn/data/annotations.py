from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.data.part_columns import Part, check_part_columns, part_suffix, read_part
from vidattn.data.video_files import images_in, may_be_video, remark_left_out, visible
from vidattn.errors import AnnotationError
from vidattn.files import read_utf8


@dataclass(frozen=True)
class Sample:
    """One annotated video, or an annotated part of one.

    Attributes:
        path: the file, or the folder of frame images; absolute, symbolic links resolved.
        labels: class names; none where nobody has labelled it.
        video_id: the path under the data root, with `/`; of a part, `#t=start,end` follows (as in
            https://www.w3.org/TR/media-frags/#naming-time), so that each is told from the others.
        group: what must not be torn apart between training and validation, such as the source
            that clips were cut from; None: the video stands for itself.
        fold: cross-validation fold, where the annotations name one.
        line: 1-based line in the annotation file; 0 for class folders.
        start_seconds, end_seconds: the sample is the frames shown from then on and before then,
            on the video's own clock; None: from its first frame, or to its last.
    """

    path: Path
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


def read_annotations(
    path: str | Path, *, root: str | Path | None = None, label_separator: str | None = ","
) -> list[Sample]:
    """Annotated videos from a folder of class folders, a `path label` list or a CSV file.

    Args:
        path: a folder (`class/video`), a `.txt` or a `.csv` file.
        root: folder that the videos lie under and that relative paths start from; by default
            the one that `path` is in, or is.
        label_separator: between the labels of one video in a CSV cell; None where commas
            belong to the names and every video has one label.

    Raises:
        AnnotationError: with the line number: a row without a path or label, a missing file,
            a path that leaves the root, a file (or a part of it) listed twice, a file that is not
            UTF-8; a part that is empty, or whose times are no seconds.
    """
    path = Path(path)
    if path.is_dir():
        return read_class_folders(path, root=root)
    if not path.is_file():
        raise AnnotationError(path, 0, "no such file or folder")
    if path.suffix.lower() == ".csv":
        return read_csv(path, root=root, label_separator=label_separator)
    if path.suffix.lower() == ".txt":
        return read_list(path, root=root)
    raise AnnotationError(path, 0, "expected a folder, a .csv or a .txt file")


def read_class_folders(folder: str | Path, *, root: str | Path | None = None) -> list[Sample]:
    """`folder/class/video`, sorted; a video is a file with a known suffix or a folder of images.

    Hidden entries, and files that are no videos by their suffix, are passed over; those that
    might be videos all the same are named in a line of the log.

    Raises:
        AnnotationError: no class folder, a class folder without videos, or in one a folder
            without images.
    """
    folder = Path(folder)
    files = _Files(folder, Path(root) if root is not None else folder)
    samples, left_out = [], []
    for class_folder in visible(folder):
        if not class_folder.is_dir():
            continue
        entries = visible(class_folder)
        videos = [entry for entry in entries if may_be_video(entry)]
        left_out += [entry for entry in entries if entry not in videos]
        if not videos:
            raise AnnotationError(class_folder, 0, "class folder without videos")
        for video in videos:
            samples.append(files.sample(str(video.absolute()), (class_folder.name,), 0))
    if not samples:
        raise AnnotationError(folder, 0, "expected one folder per class, found none")
    remark_left_out(folder, left_out)
    return samples


def read_list(path: str | Path, *, root: str | Path | None = None) -> list[Sample]:
    """One `path label` a line; the label is what follows the last space, so paths may have some.

    Several labels are separated by commas. Blank lines are passed over.
    """
    path = Path(path)
    files = _Files(path, Path(root) if root is not None else path.parent)
    samples = []
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        parts = line.strip().rsplit(maxsplit=1)
        if len(parts) != 2:
            raise AnnotationError(path, number, f"expected `path label`, got {line.strip()!r}")
        labels = _labels(parts[1], ",", path, number)
        samples.append(files.sample(parts[0], labels, number))
    return _some(samples, path)


def read_csv(
    path: str | Path, *, root: str | Path | None = None, label_separator: str | None = ","
) -> list[Sample]:
    """A CSV file with a header: `path`, `label`, and perhaps `group` (or `source`) and `fold`.

    With `start` or `end`, or both, a sample is the part of its video from one to the other, in
    seconds; an empty cell is the video's own start or end. A video may then have several rows,
    which are one group unless the list has groups of its own.

    Other columns are passed over, but for those that seem to be times of a part: they are refused.
    Where both `group` and `source` exist, `group` counts.
    """
    path = Path(path)
    files = _Files(path, Path(root) if root is not None else path.parent)
    samples = []
    for number, row in _rows(path):
        labels = _labels(row["label"], label_separator, path, number)
        group = row.get("group", row.get("source"))
        fold = _fold(row["fold"], path, number) if "fold" in row else None
        part = read_part(row, path, number)
        samples.append(files.sample(row["path"], labels, number, group or None, fold, part))
    return _some(samples, path)


class _Files:
    """Finds the videos that one annotation file names, all of them under one root."""

    def __init__(self, annotations: Path, root: Path) -> None:
        self.annotations = annotations
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
        path = self._resolve(name, line)
        video = path.relative_to(self.root).as_posix()
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

    def _resolve(self, name: str, line: int) -> Path:
        if not name:
            raise AnnotationError(self.annotations, line, "empty path")
        if "\0" in name:
            raise AnnotationError(self.annotations, line, f"NUL character in the path {name!r}")
        try:
            return self._video(name, line)
        except (OSError, RuntimeError) as error:  # too long a name; a loop of links
            raise AnnotationError(self.annotations, line, f"{name!r}: {error}") from error

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


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Rows of a CSV file by column name, each with the line that it starts on."""
    reader = csv.reader(io.StringIO(read_utf8(path), newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            number, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells, path, number)
            elif len(cells) != len(header):
                reason = f"expected {len(header)} cells, as in the header, got {len(cells)}"
                raise AnnotationError(path, number, reason)
            else:
                yield number, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise AnnotationError(path, reader.line_num, str(error)) from error


def _header(cells: Sequence[str], path: Path, line: int) -> list[str]:
    header = [cell.strip() for cell in cells]
    for name in ("path", "label"):
        if header.count(name) != 1:
            raise AnnotationError(path, line, f"expected a header with one {name!r}, got {header}")
    check_part_columns(header, path, line)
    return header


def _labels(text: str, separator: str | None, path: Path, line: int) -> tuple[str, ...]:
    labels = tuple(part.strip() for part in text.split(separator)) if separator else (text,)
    if not all(labels):
        raise AnnotationError(path, line, "empty label")
    return tuple(dict.fromkeys(labels))


def _fold(text: str, path: Path, line: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise AnnotationError(path, line, f"fold: expected an integer, got {text!r}") from None


def _some(samples: list[Sample], path: Path) -> list[Sample]:
    if not samples:
        raise AnnotationError(path, 0, "lists no videos")
    return samples
