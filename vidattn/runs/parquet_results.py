"""Results of long lists: Parquet files with a row for each video, and pictures in tar files."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from vidattn.errors import MissingLibraryError
from vidattn.files import naming_errors, written_whole
from vidattn.naming import choose
from vidattn.runs.failures import is_failure
from vidattn.runs.journal import PICTURE_FOLDER
from vidattn.runs.parts import Parts, SingleVideos
from vidattn.runs.result_names import safe_name
from vidattn.runs.results import ResultFolder
from vidattn.runs.work import Record

# Where the pictures of videos go: into tar files, or into the rows.
PICTURES = ("tar", "rows")
# A list is cut into so many parts or more, each with files of its own.
MANY_PARTS = 64
_LONGEST_STEM = 80
# Names of the files of a part; folders of their own, for tools read whole folders of Parquet files.
ROWS_FILE, TAR_FILE = "videos/part-{:07}.parquet", "pictures/part-{:07}.tar"


class ParquetFolder(ResultFolder):
    """The output folder of a run whose results are Parquet files, one for each part of its list.

    The process that has done a part writes its file, so no process ever holds all results. A row
    has the video, its status, why it failed, what was found of its frames, and the whole record as
    JSON. Pictures go into a tar file for each part, in the layout that WebDataset reads (all files
    of a video have one name up to the first dot), or into the rows.

    Args:
        folder, command, record, overwrite, retry_failed: see `ResultFolder`.
        videos: of the list.
        pictures: one of `PICTURES`; None for a command that makes none.

    Raises:
        MissingLibraryError: pyarrow is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        command: str,
        record: str,
        *,
        videos: int,
        pictures: str | None = None,
        overwrite: bool = False,
        retry_failed: bool = False,
    ) -> None:
        pyarrow()
        if pictures is not None:
            choose("pictures", pictures, PICTURES)
        self._pictures = pictures
        parts = range(len(Parts(SingleVideos(videos), MANY_PARTS)))
        files = [ROWS_FILE.format(part) for part in parts]
        if pictures == "tar":
            files += [TAR_FILE.format(part) for part in parts]
        super().__init__(
            folder, command, record, files, overwrite=overwrite, retry_failed=retry_failed
        )
        self.many_parts = MANY_PARTS
        self.part_files = [ROWS_FILE, *([TAR_FILE] if pictures == "tar" else [])]

    @property
    def pictures_folder(self) -> Path:
        """Where pictures lie until their part of the list is done."""
        return self.journal_folder / PICTURE_FOLDER

    def keep_part(self, part: int, records: Mapping[int, Record]) -> None:
        """Write the files of a part of the list, which has all its records."""
        own = [record for _, record in sorted(records.items())]
        packed = _Pictures(self, part)
        if self._pictures == "tar":
            _write_tar(self.folder / TAR_FILE.format(part), packed.members(own))
        rows = [_row(record, packed, in_rows=self._pictures == "rows") for record in own]
        _write_rows(self.folder / ROWS_FILE.format(part), rows)

    def forget_part(self, records: Mapping[int, Record]) -> None:
        """Remove the single pictures of a part whose files are written."""
        for record in records.values():
            for name in record.get("files", {}):
                (self.pictures_folder / name).unlink(missing_ok=True)
            for folder in {str(PurePosixPath(name).parent) for name in record.get("files", {})}:
                place = self.pictures_folder / folder
                if place.is_dir() and not any(place.iterdir()):
                    place.rmdir()

    def written_files(self) -> list[str]:
        """Names of all files besides the record."""
        return self.files[1:]


class _Pictures:
    """The pictures of a part: single files, or what an earlier file of the part holds."""

    def __init__(self, place: ParquetFolder, part: int) -> None:
        self._place, self._part = place, part

    def members(self, records: Sequence[Record]) -> Iterator[tuple[str, bytes]]:
        """Names and contents of what belongs into the tar file of the part."""
        for record in records:
            for name, member in member_names(record).items():
                yield member, self._single(name) or self._earlier_members[member]

    def of_rows(self, record: Record) -> list[bytes]:
        """The pictures of the key frames of a video, in the order of time."""
        names = [frame["image"] for frame in record.get("frames", []) if "image" in frame]
        single = [self._single(name) for name in names]
        if all(content is not None for content in single):
            return [content for content in single if content is not None]
        return self._earlier_rows[record["video"]]

    def _single(self, name: str) -> bytes | None:
        try:
            return (self._place.pictures_folder / name).read_bytes()
        except FileNotFoundError:
            return None

    @cached_property
    def _earlier_members(self) -> dict[str, bytes]:
        with tarfile.open(self._place.folder / TAR_FILE.format(self._part)) as file:
            found = {member.name: file.extractfile(member) for member in file}
            return {name: content.read() for name, content in found.items() if content}

    @cached_property
    def _earlier_rows(self) -> dict[str, list[bytes]]:
        path = self._place.folder / ROWS_FILE.format(self._part)
        table = pyarrow().parquet.read_table(path, columns=["video", "pictures"])
        return {row["video"]: row["pictures"] for row in table.to_pylist()}


class PackedNames(Sequence[str]):
    """Names of videos in tar files, made when they are asked for: file name and a digest.

    A name depends on the path of the video alone, as the list named it.

    Args:
        videos: as the list named them.
    """

    def __init__(self, videos: Sequence[str]) -> None:
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, number: int) -> str:  # type: ignore[override]
        video = self._videos[number]
        stem = safe_name(PurePosixPath(video).stem).replace(".", "_")
        stem = stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
        return f"{stem}~{sha256(video.encode(errors='surrogatepass')).hexdigest()[:16]}"


def member_names(record: Record) -> dict[str, str]:
    """Names of a video's files, as it was written -> as it is called in the tar file."""
    places = {frame.get("image"): place for place, frame in enumerate(record.get("frames", []))}
    found: dict[str, str] = {}
    for name in record.get("files", {}):
        path = PurePosixPath(name)
        own = f"{places[name]:02}{path.suffix}" if name in places else path.name
        found[name] = f"{path.parent}.{own}"
    return found


def pyarrow(what: str = "Parquet results") -> Any:
    """The library that reads and writes Parquet.

    Args:
        what: needs it, for the message.

    Raises:
        MissingLibraryError: it is not installed.
    """
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise MissingLibraryError(
            f"{what} need pyarrow, which cannot be imported here ({error}); install it "
            "with `pip install 'vidattn[parquet]'`"
        ) from error


def schema() -> Any:
    """The columns of a row."""
    pa = pyarrow()
    numbers = pa.list_(pa.float64())
    return pa.schema(
        [
            ("video", pa.string()),
            ("status", pa.string()),
            ("error", pa.string()),
            ("reason", pa.string()),
            ("attempts", pa.int32()),
            ("fps", pa.float64()),
            ("duration_seconds", pa.float64()),
            ("label", pa.string()),
            ("probability", pa.float64()),
            ("frame_index", pa.list_(pa.int64())),
            ("seconds", numbers),
            ("score", numbers),
            ("boxes", pa.list_(pa.list_(numbers))),
            ("frame_label", pa.list_(pa.string())),
            ("frame_probability", numbers),
            ("picture_file", pa.list_(pa.string())),
            ("pictures", pa.list_(pa.binary())),
            ("record", pa.string()),
        ]
    )


def _row(record: Record, packed: _Pictures, *, in_rows: bool) -> dict[str, Any]:
    own = {key: value for key, value in record.items() if key not in ("state", "files")}
    if is_failure(record):
        keys = ("video", "error", "reason", "attempts")
        return {key: record[key] for key in keys} | {"status": "failed", "record": _text(own)}
    members = member_names(record)
    frames = [dict(frame) for frame in record.get("frames", [])]
    for frame in frames:
        if image := members.get(frame.pop("image", "")):
            frame["image"] = image
    if frames:
        own["frames"] = frames
    return {
        "video": record["video"],
        "status": "done",
        "attempts": record.get("attempts", 1),
        **{name: record.get(name) for name in ("fps", "duration_seconds", "label", "probability")},
        **{name: [frame[name] for frame in frames] for name in ("frame_index", "seconds", "score")},
        "boxes": [frame.get("regions", []) for frame in frames],
        "frame_label": [frame.get("label") for frame in frames],
        "frame_probability": [frame.get("probability") for frame in frames],
        "picture_file": [] if in_rows else [f["image"] for f in frames if "image" in f],
        "pictures": packed.of_rows(record) if in_rows else [],
        "record": _text(own),
    }


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True)


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    pa = pyarrow()
    with written_whole(path) as temporary:
        table = pa.Table.from_pylist(list(rows), schema=schema())
        pa.parquet.write_table(table, temporary, compression="zstd")


def _write_tar(path: Path, members: Iterator[tuple[str, bytes]]) -> None:
    with (
        written_whole(path) as temporary,
        naming_errors(path),
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as file,
    ):
        for name, content in members:
            member = tarfile.TarInfo(name)  # without times or owners, so that bits stay the same
            member.size, member.mode = len(content), 0o644
            file.addfile(member, io.BytesIO(content))
