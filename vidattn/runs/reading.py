"""The results of a run, read back from its output folder, whatever form they have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidattn.errors import ArgumentError
from vidattn.runs.failures import is_failure, up_to_date
from vidattn.runs.parquet_results import pyarrow
from vidattn.runs.result_files import WRITTEN

BATCH_ROWS = 64


@dataclass(frozen=True)
class ResultFrame:
    """A frame that was selected.

    Attributes:
        frame_index: 0-based, in presentation order.
        seconds: on the video's own clock.
        score: of the frame; comparable within the video.
        boxes: [x1, y1, x2, y2] in pixels of the video as shown.
        label, probability: what the model sees around the frame; None without a model.
        image: its picture: a file in the output folder, or in one of `pictures/part-*.tar` there.
        picture: the encoded picture, where the rows hold pictures.
    """

    frame_index: int
    seconds: float
    score: float
    boxes: tuple[tuple[float, ...], ...] = ()
    label: str | None = None
    probability: float | None = None
    image: str | None = None
    picture: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class VideoResult:
    """What a run found of one video.

    Attributes:
        video: as the list named it.
        status: "done" or "failed".
        reason: why it failed; None where it did not.
        error: name of the error's type.
        attempts: how often it was tried.
        frames: that were selected, in the order of time; none for commands that select none.
        record: all that the command found of it, as JSON types.
    """

    video: str
    status: str
    reason: str | None
    attempts: int
    frames: tuple[ResultFrame, ...] = ()
    error: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on what is not as asked for."""
        return tuple(self.record.get("remarks", ()))

    def to_json(self) -> dict[str, Any]:
        """All that the command found of it."""
        return dict(self.record)

    def in_words(self) -> str:
        """What came out, in a few words."""
        return self.reason or f"{len(self.frames)} frames"


def read_results(folder: str | Path) -> Iterator[VideoResult]:
    """The results of a command over a list of videos, one at a time.

    From Parquet files they come in the order of the list, from a JSON file first the videos with a
    result and then those without. One part of Parquet results is in memory at a time.

    Args:
        folder: what the command was given as `--output`, or the JSON file that it has written.

    Raises:
        ArgumentError: there is no finished result of such a command.
        MissingLibraryError: the results are Parquet files, and pyarrow is not installed.

    Source of the format: https://parquet.apache.org/docs/file-format/
    """
    path, content = _record_file(Path(folder))
    if content.get("results") == "parquet":
        names = [name for name in content[WRITTEN]["files"] if name.endswith(".parquet")]
        return _rows(path.parent / name for name in sorted(names))
    return _entries(content)


def _record_file(place: Path) -> tuple[Path, dict[str, Any]]:
    for path in [place] if place.is_file() else sorted(place.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and {"videos_done", "videos_failed"} <= content.keys():
            return path, content
    raise ArgumentError(
        f"{place}: expected the --output folder of a finished command over a list of videos, such "
        "as `vidattn keyframes`, found none"
    )


def _entries(content: Mapping[str, Any]) -> Iterator[VideoResult]:
    videos = content.get("videos", [])
    if isinstance(videos, dict):  # shots, by the names of files
        videos = [{"video": name} | entry for name, entry in videos.items()]
    for entry in [*videos, *content.get("failures", [])]:
        yield _result(up_to_date(entry))


def _result(record: Mapping[str, Any], pictures: list[bytes] | None = None) -> VideoResult:
    frames = record.get("frames", ())
    found = tuple(
        _frame(frame, pictures[place] if pictures else None)
        for place, frame in enumerate(frames if isinstance(frames, list) else ())
        if isinstance(frame, dict) and "frame_index" in frame
    )
    failed = is_failure(record)
    return VideoResult(
        record["video"],
        "failed" if failed else "done",
        record["reason"] if failed else None,
        record.get("attempts", 1),
        found,
        record["error"] if failed else None,
        record,
    )


def _frame(frame: Mapping[str, Any], picture: bytes | None) -> ResultFrame:
    return ResultFrame(
        frame["frame_index"],
        frame["seconds"],
        frame.get("score", 0.0),
        tuple(map(tuple, frame.get("regions", ()))),
        frame.get("label"),
        frame.get("probability"),
        frame.get("image"),
        picture,
    )


def _rows(paths: Iterator[Path]) -> Iterator[VideoResult]:
    parquet = pyarrow().parquet
    for path in paths:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=["record", "pictures"]):
                for row in batch.to_pylist():
                    yield _result(json.loads(row["record"]), row["pictures"])
