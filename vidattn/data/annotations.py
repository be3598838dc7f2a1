from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vidattn.data.annotated_shards import labelled_members, shards_in
from vidattn.data.part_columns import check_part_columns, read_part
from vidattn.data.samples import Sample, SampleFiles
from vidattn.data.video_files import may_be_video, remark_left_out, visible
from vidattn.errors import AnnotationError
from vidattn.files import read_utf8
from vidattn.video.sources.addresses import MEMBER, TAR, AllowRemote
from vidattn.video.sources.local import LocalFile
from vidattn.video.sources.permission import permission_of


def read_annotations(
    path: str | Path,
    *,
    root: str | Path | None = None,
    label_separator: str | None = ",",
    allow_remote: AllowRemote = (),
) -> list[Sample]:
    """Annotated videos from class folders, tar files, a `path label` list or a CSV file.

    Lists and CSV files may also name members of tar files (`shard.tar::clip.mp4`), and videos on
    servers, which are not asked whether they have them.

    Args:
        path: a folder (`class/video`), a tar file or a folder of some (see `labelled_members`), a
            `.txt` or a `.csv` file.
        root: folder that the videos lie under and that relative paths start from; by default
            the one that `path` is in, or is.
        label_separator: between the labels of one video in a CSV cell; None where commas
            belong to the names and every video has one label.
        allow_remote: see `vidattn.open_video`.

    Raises:
        AnnotationError: with the line number: a row without a path or label, a missing file, an
            address of a server that is not allowed, a path that leaves the root, a file (or a part
            of it) listed twice, a file that is not UTF-8; a part that is empty, or whose times are
            no seconds.
    """
    path = Path(path)
    if path.is_dir():
        shards = shards_in(path)
        return read_shards(shards, root or path) if shards else read_class_folders(path, root=root)
    if not path.is_file():
        raise AnnotationError(path, 0, "no such file or folder")
    permission = permission_of(allow_remote)
    if path.suffix.lower() == ".csv":
        return read_csv(path, root=root, label_separator=label_separator, allow_remote=permission)
    if path.suffix.lower() == ".txt":
        return read_list(path, root=root, allow_remote=permission)
    if path.suffix.lower() == TAR:
        return read_shards([path], root or path.parent)
    raise AnnotationError(path, 0, "expected a folder, a .csv or a .txt file, or a .tar file")


def read_shards(shards: Sequence[Path], root: str | Path) -> list[Sample]:
    """The videos of tar files, one tar file after the other; see `labelled_members`.

    Raises:
        AnnotationError: a tar file cannot be used, or lies outside the root.
    """
    samples = []
    for shard in shards:
        files = SampleFiles(shard, Path(root))
        for name, label in labelled_members(LocalFile(shard)):
            samples.append(files.sample(f"{shard.absolute()}{MEMBER}{name}", (label,), 0))
    return samples


def read_class_folders(folder: str | Path, *, root: str | Path | None = None) -> list[Sample]:
    """`folder/class/video`, sorted; a video is a file with a known suffix or a folder of images.

    Hidden entries, and files that are no videos by their suffix, are passed over; those that
    might be videos all the same are named in a line of the log.

    Raises:
        AnnotationError: no class folder, a class folder without videos, or in one a folder
            without images.
    """
    folder = Path(folder)
    files = SampleFiles(folder, Path(root) if root is not None else folder)
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


def read_list(
    path: str | Path, *, root: str | Path | None = None, allow_remote: AllowRemote = ()
) -> list[Sample]:
    """One `path label` a line; the label is what follows the last space, so paths may have some.

    Several labels are separated by commas. Blank lines are passed over.
    """
    path = Path(path)
    files = SampleFiles(path, Path(root) if root is not None else path.parent, allow_remote)
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
    path: str | Path,
    *,
    root: str | Path | None = None,
    label_separator: str | None = ",",
    allow_remote: AllowRemote = (),
) -> list[Sample]:
    """A CSV file with a header: `path`, `label`, and perhaps `group` (or `source`) and `fold`.

    With `start` or `end`, or both, a sample is the part of its video from one to the other, in
    seconds; an empty cell is the video's own start or end. A video may then have several rows,
    which are one group unless the list has groups of its own.

    Other columns are passed over, but for those that seem to be times of a part: they are refused.
    Where both `group` and `source` exist, `group` counts.
    """
    path = Path(path)
    files = SampleFiles(path, Path(root) if root is not None else path.parent, allow_remote)
    samples = []
    for number, row in _rows(path):
        labels = _labels(row["label"], label_separator, path, number)
        group = row.get("group", row.get("source"))
        fold = _fold(row["fold"], path, number) if "fold" in row else None
        part = read_part(row, path, number)
        samples.append(files.sample(row["path"], labels, number, group or None, fold, part))
    return _some(samples, path)


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
