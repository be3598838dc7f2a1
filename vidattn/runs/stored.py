"""What a run gives back whose results are too many for the memory: they stay in their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from vidattn.runs.outcome import RunResult, VideoFailure, counts
from vidattn.runs.parquet_results import ParquetFolder
from vidattn.runs.reading import VideoResult, read_results
from vidattn.runs.records import Records


class StoredVideos(Sequence[VideoResult]):
    """The videos of a run with a result, read from its files when they are asked for.

    Args:
        folder: of the results.
        count: of the videos.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[VideoResult]:
        return (each for each in read_results(self._folder) if each.status == "done")

    def __getitem__(self, place: int) -> VideoResult:  # type: ignore[override]
        place = range(self._count)[place]
        return next(islice(self, place, None))


@dataclass(frozen=True, eq=False, repr=False)
class StoredResult(RunResult[VideoResult]):
    """What a run found, in Parquet files: see `RunResult`; its JSON does not hold the videos."""

    def to_json(self) -> dict[str, Any]:
        """What the command's JSON file holds."""
        return {
            **self.settings,
            **counts(len(self.videos), self.failures),
            "results": "parquet",
        }

    def _repr_html_(self) -> str:
        return f"<p>{repr(self)[1:-1]}; <code>vidattn.read_results</code> gives each video</p>"


def finish_stored(
    place: ParquetFolder, records: Records, settings: Mapping[str, Any]
) -> StoredResult:
    """Write the record of a run whose results are in Parquet files.

    Args:
        settings: all that the results depend on besides the videos.
    """
    failures = tuple(
        VideoFailure(*(record[key] for key in ("video", "error", "reason", "attempts")))
        for record in records.failures()
    )
    videos = StoredVideos(place.folder, len(records) - len(failures))
    found = StoredResult(videos, failures, settings)
    place.finish(found.to_json(), place.written_files())
    return found
