"""Reads shot boundaries, as their datasets and detectors write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import IntArray
from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.array_files import numbers, read_archive, whole_numbers
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.tables import read_rows
from vidattn.evaluation.files.text_files import shown
from vidattn.evaluation.metrics.shots import transitions_from_scores, transitions_from_shots


class Boundaries(NamedTuple):
    """The shot boundaries of one video.

    Attributes:
        transitions: (V, 2) last frame of the old, first of the new shot, in time order.
        cuts: (P,) single frame numbers where a file has no more, in its order; the first frame
            of the new shot. None where `transitions` says all.
        end: frame count, where the boundaries come with the last frame of the video.
    """

    transitions: IntArray
    cuts: IntArray | None = None
    end: int | None = None


def read_boundaries(
    path: Path, *, threshold: float | None, notes: list[str], truth: bool
) -> dict[str, Boundaries]:
    """Boundaries of every video.

    Args:
        path: JSON, a NumPy archive, or a folder of text files.
        threshold: for scores of frames.
        notes: gets what was passed over.
        truth: prefer `truth/…` to `scores/…` in an archive that has both.

    Raises:
        MalformedFileError: anything that is no boundary.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, threshold)
    if path.suffix == ".npz":
        return _read_archive(path, threshold, truth=truth)
    return _read_json(Document(path), notes)


def _read_archive(path: Path, threshold: float | None, *, truth: bool) -> dict[str, Boundaries]:
    arrays = read_archive(path)
    prefix = "truth/" if truth else "scores/"
    chosen = {name: array for name, array in arrays.items() if name.startswith(prefix)} or arrays
    if not chosen:
        raise MalformedFileError(path, 0, "arrays", "none")
    found = {}
    for name, array in chosen.items():
        video = name.removeprefix(prefix)
        found[video] = (
            _from_shots(path, name, array)
            if array.ndim == 2 and array.shape[1] == 2
            else _from_scores(path, name, array, threshold)
        )
    return found


def _read_folder(path: Path, threshold: float | None) -> dict[str, Boundaries]:
    files = sorted(file for file in path.iterdir() if file.suffix in (".txt", ".tsv"))
    if not files:
        raise MalformedFileError(path, 0, "text files, one a video", "none")
    found = {}
    for file in files:
        rows, lines = read_rows(file, separator=None)
        values = np.empty((len(rows), 2))
        for number, (cells, line) in enumerate(zip(rows, lines, strict=True)):
            values[number] = _two_numbers(file, cells, line)
        video = file.name.split(".")[0]
        if video in found:
            raise MalformedFileError(file, 0, f"one file for the video {video}", "another")
        if ".predictions." in file.name:
            found[video] = _from_scores(file, "scores", values[:, 0], threshold)
        else:
            found[video] = _from_rows(file, values, lines)
    return found


def _from_rows(path: Path, values: NDArray[np.float64], lines: list[int]) -> Boundaries:
    for number, (first, last) in enumerate(values):
        before = values[number - 1, 1] if number else -1
        if first != int(first) or last != int(last) or not before < first <= last:
            got = f"{first:g} {last:g}"
            expected = f"first and last frame of a shot after frame {before:g}"
            raise MalformedFileError(path, lines[number], expected, got)
    return _from_shots(path, "shots", values)


def _two_numbers(path: Path, cells: list[str], line: int) -> tuple[float, float]:
    try:
        first, second = (float(cell) for cell in cells[:2])
    except ValueError as error:
        raise MalformedFileError(path, line, "two numbers", shown(" ".join(cells))) from error
    if not (np.isfinite(first) and np.isfinite(second)):
        raise MalformedFileError(path, line, "two finite numbers", shown(" ".join(cells)))
    return first, second


def _from_shots(path: Path, name: str, values: Any) -> Boundaries:
    shots = whole_numbers(path, name, values)
    reversed_ = (shots[:, 0] > shots[:, 1]).any() or (shots[1:, 0] <= shots[:-1, 1]).any()
    if not len(shots) or reversed_:
        expected = f"{name}: first and last frames of shots, in time order and apart"
        raise MalformedFileError(path, 0, expected, shown(shots[:4].tolist()))
    return Boundaries(transitions_from_shots(shots), end=int(shots[-1, 1]) + 1)


def _from_scores(path: Path, name: str, values: Any, threshold: float | None) -> Boundaries:
    if threshold is None:
        raise MalformedFileError(path, 0, "shots, or --threshold for scores", f"scores in {name}")
    scores = numbers(path, name, values).squeeze()
    if scores.ndim != 1 or not len(scores):
        raise MalformedFileError(path, 0, f"{name}: a score a frame", str(scores.shape))
    return Boundaries(transitions_from_scores(scores, threshold), end=len(scores))


def _read_json(document: Document, notes: list[str]) -> dict[str, Boundaries]:
    videos = document.mapping(document.value, (), "an object: video -> boundaries")
    place: tuple[str | int, ...] = ()
    if isinstance(videos.get("videos"), dict):
        videos, place = videos["videos"], ("videos",)
    if not videos:
        document.refuse(place, "at least one video", "none")
    passed = 0
    found = {}
    for name, entry in videos.items():
        here = (*place, name)
        if isinstance(entry, list):
            pairs = bool(entry) and all(isinstance(item, list) for item in entry)
            found[name] = (
                _from_pairs(document, entry, here)[0]
                if pairs
                else _from_cuts(document, entry, here)
            )
        elif isinstance(entry, dict) and "hard_cuts" in entry:
            found[name] = _from_kinds(document, entry, here)
        else:
            listed = document.member(entry, "transitions", here)
            items = document.sequence(listed, (*here, "transitions"), "a list of transitions")
            found[name], empty = _from_pairs(document, items, (*here, "transitions"), lenient=True)
            passed += empty
    if passed:
        notes.append(
            f"{document.path.name}: {passed} transitions that do not end after their start were "
            "passed over"
        )
    return found


def _from_cuts(document: Document, entry: list[Any], place: tuple[str | int, ...]) -> Boundaries:
    cuts = np.array(
        [_frame(document, item, (*place, row)) for row, item in enumerate(entry)], dtype=np.int64
    )
    if (cuts < 1).any():
        document.refuse((*place, int((cuts < 1).argmax())), "the first frame of a later shot", "0")
    ordered = np.unique(cuts)
    return Boundaries(np.stack([ordered - 1, ordered], axis=1), cuts)


def _from_pairs(
    document: Document,
    entry: list[Any],
    place: tuple[str | int, ...],
    *,
    lenient: bool = False,
) -> tuple[Boundaries, int]:
    """Transitions as [last old, first new frame]; `lenient` counts those of no length."""
    pairs: list[tuple[int, int]] = []
    passed = 0
    for row, item in enumerate(entry):
        here = (*place, row)
        if len(document.sequence(item, here, "[last old, first new frame]")) != 2:
            document.refuse(here, "[last old, first new frame]", shown(item))
        first, last = (_frame(document, value, (*here, side)) for side, value in enumerate(item))
        if first < last:
            pairs.append((first, last))
        elif lenient:
            passed += 1
        else:
            document.refuse(here, "a transition that ends after its start", shown(item))
    return Boundaries(_sorted(document, pairs, place)), passed


def _from_kinds(
    document: Document, entry: dict[str, Any], place: tuple[str | int, ...]
) -> Boundaries:
    """Cuts by their last old frame, and gradual ones by first and last frame of the blend."""
    pairs = []
    listed = document.sequence(entry["hard_cuts"], (*place, "hard_cuts"), "a list of frames")
    for row, item in enumerate(listed):
        last = _frame(document, item, (*place, "hard_cuts", row))
        pairs.append((last, last + 1))
    gradual = document.sequence(entry.get("gradual", []), (*place, "gradual"), "a list of spans")
    for row, item in enumerate(gradual):
        here = (*place, "gradual", row)
        span = [_frame(document, value, here) for value in document.sequence(item, here, "a span")]
        if len(span) != 2 or not 0 < span[0] <= span[1]:
            document.refuse(here, "first and last frame of a blend", shown(item))
        pairs.append((span[0] - 1, span[1] + 1))
    return Boundaries(_sorted(document, pairs, place))


def _sorted(
    document: Document, pairs: list[tuple[int, int]], place: tuple[str | int, ...]
) -> IntArray:
    ordered = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    nested = np.diff(ordered[:, 1]) < 0
    if nested.any():
        row = int(nested.argmax())
        got = f"{ordered[row].tolist()} around {ordered[row + 1].tolist()}"
        document.refuse(place, "transitions, none inside another", got)
    return ordered


def _frame(document: Document, value: Any, place: tuple[str | int, ...]) -> int:
    number = document.number(value, place)
    if number != int(number) or number < 0:
        document.refuse(place, "a frame number", shown(value))
    return int(number)
