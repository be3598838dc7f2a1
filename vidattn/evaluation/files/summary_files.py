"""Reads what people and programs said about which parts of a video matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import FloatArray, IntArray
from vidattn.errors import ArgumentError, MalformedFileError
from vidattn.evaluation.files.array_files import (
    is_hdf5,
    numbers,
    open_hdf5,
    read_matlab,
    whole_numbers,
)
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.tables import read_rows
from vidattn.evaluation.files.text_files import shown
from vidattn.evaluation.metrics.summaries import shot_array

_FIELDS = ("user_summary", "change_points", "n_frames", "picks", "n_frame_per_seg", "user_anno")


class PeoplesSummaries(NamedTuple):
    """What people said about one video. None where the file does not have it.

    Attributes:
        summaries: (U, T) bool, the frames that each person chose.
        importances: (U, T) each person's score of each frame.
        frame_count: T.
        shots: (S, 2) first and last frame.
        shot_lengths: (S,) as the file has them, which may disagree with `shots`.
        picks: (P,) the frames that a program is asked to score.
    """

    summaries: NDArray[np.bool_] | None
    importances: FloatArray | None
    frame_count: int
    shots: IntArray | None = None
    shot_lengths: IntArray | None = None
    picks: IntArray | None = None


class GivenSummary(NamedTuple):
    """A program's answer for one video: scores of frames, or the frames themselves."""

    values: FloatArray
    is_summary: bool


def read_people(path: Path) -> dict[str, PeoplesSummaries]:
    """What people said about every video.

    Args:
        path: the HDF5 files that summarisers are trained on (`video_1/user_summary`, …), JSON
            with the same fields, TVSum's `ydata-tvsum50.mat` or `ydata-anno.tsv`, or a folder
            of SumMe's `.mat` files.

    Raises:
        MalformedFileError: anything else, or a field that contradicts another.
        MissingLibraryError: SciPy or h5py is needed and missing.
    """
    path = Path(path)
    if path.is_dir():
        return _read_summe(path)
    if path.suffix == ".tsv":
        return _read_tvsum_table(path)
    if path.suffix != ".json" and is_hdf5(path):
        return _read_hdf5(path)
    if path.suffix == ".mat":
        return {path.stem: _summe_video(path)}
    return _read_json(path)


def read_answers(path: Path) -> dict[str, GivenSummary]:
    """JSON: video -> scores; or -> an object with `scores`, or with `summary` (0 or 1 a frame).

    Raises:
        MalformedFileError: anything else, no number, negative scores.
    """
    document = Document(path)
    videos = document.mapping(document.value, (), "an object: video -> scores")
    found = {}
    for name, entry in videos.items():
        place: tuple[str | int, ...] = (name,)
        is_summary = isinstance(entry, dict) and "summary" in entry
        if isinstance(entry, dict):
            key = "summary" if is_summary else "scores"
            entry, place = document.member(entry, key, place), (name, key)
        listed = document.sequence(entry, place, "a list of numbers")
        values = np.array([document.number(item, (*place, row)) for row, item in enumerate(listed)])
        wrong = ~np.isin(values, (0, 1)) if is_summary else values < 0
        if not len(values):
            document.refuse(place, "at least one number", "none")
        if wrong.any():
            row = int(wrong.argmax())
            expected = "0 or 1" if is_summary else "a score of at least 0"
            document.refuse((*place, row), expected, shown(listed[row]))
        found[name] = GivenSummary(values, is_summary)
    return found


def read_splits(path: Path, videos: Sequence[str]) -> list[list[str]]:
    """Test videos of each split: JSON list of objects with `test_keys`.

    Raises:
        MalformedFileError: anything else, or a video that is not among `videos`.
    """
    document = Document(path)
    splits = document.sequence(document.value, (), "a list of splits")
    known = set(videos)
    found = []
    for number, split in enumerate(splits):
        place = (number, "test_keys")
        keys = document.sequence(document.member(split, "test_keys", (number,)), place, "a list")
        names = []
        for row, key in enumerate(keys):
            names.append(document.text(key, (*place, row)).split("/")[-1])
            if names[-1] not in known:
                document.refuse((*place, row), "a video of the truth", shown(key))
        if not names:
            document.refuse(place, "at least one video", "none")
        found.append(names)
    if not found:
        document.refuse((), "at least one split", "none")
    return found


def _read_summe(path: Path) -> dict[str, PeoplesSummaries]:
    files = sorted(path.glob("*.mat"))
    if not files:
        raise MalformedFileError(path, 0, "SumMe's .mat files", "none")
    return {file.stem: _summe_video(file) for file in files}


def _summe_video(path: Path) -> PeoplesSummaries:
    scores = numbers(path, "user_score", read_matlab(path, ("user_score",))["user_score"])
    if scores.ndim != 2 or not scores.size:
        raise MalformedFileError(path, 0, "user_score: (frames, people)", str(scores.shape))
    return PeoplesSummaries(scores.T > 0, None, len(scores))


def _read_hdf5(path: Path) -> dict[str, PeoplesSummaries]:
    with open_hdf5(path) as stream:
        if "tvsum50" in stream:
            return _tvsum(path, stream)
        if not len(stream):
            raise MalformedFileError(path, 0, "videos", "none")
        return {
            name: _video(path, name, {key: group[key][()] for key in _FIELDS if key in group})
            for name, group in stream.items()
        }


def _tvsum(path: Path, stream: Any) -> dict[str, PeoplesSummaries]:
    found = {}
    for number, reference in enumerate(stream["tvsum50"]["user_anno"][()].ravel(), start=1):
        name = f"user_anno of video {number}"
        scores = numbers(path, name, stream[reference][()])
        if scores.ndim != 2 or not scores.size:
            raise MalformedFileError(path, 0, f"{name}: (people, frames)", str(scores.shape))
        found[f"video_{number}"] = PeoplesSummaries(None, scores, scores.shape[1])
    return found


def _read_tvsum_table(path: Path) -> dict[str, PeoplesSummaries]:
    """Rows of video, category and scores; videos are numbered as they first occur."""
    rows, lines = read_rows(path, separator="\t")
    videos: dict[str, list[FloatArray]] = {}
    for cells, line in zip(rows, lines, strict=True):
        if len(cells) != 3:
            raise MalformedFileError(path, line, "video, category, scores", f"{len(cells)} cells")
        try:
            scores = np.array(cells[2].split(","), dtype=np.float64)
        except ValueError as error:
            raise MalformedFileError(path, line, "scores, by commas", str(error)) from error
        before = videos.setdefault(cells[0], [])
        if not np.isfinite(scores).all() or (before and len(before[0]) != len(scores)):
            expected = "finite scores, as many in every row of a video"
            raise MalformedFileError(path, line, expected, f"{len(scores)} of {cells[0]}")
        before.append(scores)
    return {
        f"video_{number}": PeoplesSummaries(None, np.array(people), len(people[0]))
        for number, people in enumerate(videos.values(), start=1)
    }


def _read_json(path: Path) -> dict[str, PeoplesSummaries]:
    document = Document(path)
    videos = document.mapping(document.value, (), "an object: video -> fields")
    if not videos:
        document.refuse((), "at least one video", "none")
    found = {}
    for name, entry in videos.items():
        fields = document.mapping(entry, (name,), "an object with user_summary or user_anno")
        try:
            found[name] = _video(path, name, fields)
        except MalformedFileError as error:
            line = document.line((name,))
            raise MalformedFileError(path, line, error.expected, error.got) from error
    return found


def _video(path: Path, name: str, fields: Mapping[str, Any]) -> PeoplesSummaries:
    people = {
        key: numbers(path, f"{name}/{key}", fields[key])
        for key in ("user_summary", "user_anno")
        if key in fields
    }
    for key, values in people.items():
        if values.ndim != 2 or not values.size:
            raise MalformedFileError(path, 0, f"{name}/{key}: (people, frames)", str(values.shape))
    if not people:
        raise MalformedFileError(path, 0, f"{name}: user_summary or user_anno", "neither")
    whole = {
        key: whole_numbers(path, f"{name}/{key}", fields[key])
        for key in ("change_points", "picks", "n_frame_per_seg", "n_frames")
        if key in fields
    }
    length = next(iter(people.values())).shape[1]
    count = int(whole["n_frames"].ravel()[0]) if "n_frames" in whole else length
    shots = whole.get("change_points")
    lengths = whole.get("n_frame_per_seg")
    picks = whole.get("picks")
    try:
        if shots is not None:
            shot_array(shots)
    except ArgumentError as error:
        raise MalformedFileError(path, 0, f"{name}/change_points", str(error)) from error
    if picks is not None and (picks.ndim != 1 or (np.diff(picks) <= 0).any()):
        raise MalformedFileError(path, 0, f"{name}/picks: increasing frame numbers", "others")
    if lengths is not None and (shots is None or lengths.shape != (len(shots),)):
        raise MalformedFileError(path, 0, f"{name}/n_frame_per_seg: one a shot", f"{lengths.shape}")
    summaries = people.get("user_summary")
    return PeoplesSummaries(
        None if summaries is None else summaries > 0,
        people.get("user_anno"),
        count,
        shots,
        lengths,
        picks,
    )
