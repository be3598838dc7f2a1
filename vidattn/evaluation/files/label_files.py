"""Reads frame labels: text files with a label a frame, and MATLAB files of whole splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vidattn.arrays import IntArray
from vidattn.errors import MalformedFileError
from vidattn.evaluation.files.array_files import read_matlab, whole_numbers
from vidattn.evaluation.files.text_files import read_text, shown


class FrameLabels(NamedTuple):
    """The labels of one video.

    Attributes:
        split: which the video belongs to; "" where there are no splits.
        codes: (T,) numbers of labels.
        path: where they came from.
        first_line: of the file that has the first label; 0 where labels have no lines.
    """

    split: str
    codes: IntArray
    path: Path
    first_line: int


def read_frame_labels(path: Path, variable: str, codes: dict[str, int]) -> dict[str, FrameLabels]:
    """Labels of every video.

    Args:
        path: a folder of text files, a folder of MATLAB files (one a split), or one of them.
        variable: of a MATLAB file: `P` predictions, `Y` truth.
        codes: label -> number; new labels are added.

    Raises:
        MalformedFileError: nothing there, no labels, two files of one video.
    """
    path = Path(path)
    if not path.exists():
        raise MalformedFileError(path, 0, "a file or folder", "nothing there")
    files = [path]
    if path.is_dir():
        files = sorted(
            file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")
        )
        if not files:
            raise MalformedFileError(path, 0, "files of frame labels", "an empty folder")
    found: dict[str, FrameLabels] = {}
    for file in files:
        if file.suffix == ".mat":
            videos = _read_split(file, variable, codes, split=file.stem if path.is_dir() else "")
        else:
            videos = {file.name.split(".")[0]: _read_video(file, codes)}
        for name, labels in videos.items():
            if name in found:
                got = f"{found[name].path.name} too"
                raise MalformedFileError(file, 0, f"one file for the video {name}", got)
            found[name] = labels
    return found


def read_label_names(path: Path) -> list[str]:
    """Names of a list with a name or `number name` a line."""
    names = [line.split()[-1] for line in read_text(path).splitlines() if line.strip()]
    if len(set(names)) < len(names):
        raise MalformedFileError(path, 0, "every label once", "one of them twice")
    return names


def refuse_unknown(labels: FrameLabels, code: int, names: Mapping[int, str]) -> None:
    """Raise for the first frame that has a label."""
    frame = int((labels.codes == code).argmax())
    line = labels.first_line + frame if labels.first_line else 0
    got = f"{shown(names[code])} at frame {frame}"
    raise MalformedFileError(labels.path, line, "labels of the truth (see --unlisted)", got)


def _read_video(path: Path, codes: dict[str, int]) -> FrameLabels:
    lines = read_text(path).rstrip().split("\n")
    if lines[0].startswith("###"):
        labels, first_line = " ".join(lines[1:]).split(), 0
        if not labels:
            raise MalformedFileError(path, 2, "labels below the heading", "none")
    else:
        labels, first_line = [line.strip() for line in lines], 1
        for number, label in enumerate(labels, start=1):
            if len(label.split()) != 1:
                raise MalformedFileError(path, number, "one label on every line", shown(label))
    numbers = (codes.setdefault(label, len(codes)) for label in labels)
    return FrameLabels("", np.fromiter(numbers, np.int64, len(labels)), path, first_line)


def _read_split(
    path: Path, variable: str, codes: dict[str, int], *, split: str
) -> dict[str, FrameLabels]:
    cells: Any = read_matlab(path, (variable,))[variable]
    if cells.dtype != object or not cells.size:
        raise MalformedFileError(path, 0, f"{variable}: a cell for each video", str(cells.dtype))
    found = {}
    for number, cell in enumerate(cells.ravel(), start=1):
        name = f"{variable}{{{number}}}"
        values = whole_numbers(path, name, cell)
        if values.ndim > 2 or not values.size or values.size != max(values.shape):
            raise MalformedFileError(path, 0, f"{name}: one label a frame", str(values.shape))
        different, places = np.unique(values.ravel(), return_inverse=True)
        table = [codes.setdefault(str(value), len(codes)) for value in different]
        labels = np.array(table, dtype=np.int64)[places]
        found[f"{split}/{number}" if split else str(number)] = FrameLabels(split, labels, path, 0)
    return found
