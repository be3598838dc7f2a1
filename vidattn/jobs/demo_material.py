"""The videos that the demo trains and tests on: its own, or a person's."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.data import Sample, read_annotations
from vidattn.data.actions import Truth
from vidattn.data.split import split_by_group
from vidattn.data.synthetic import TRUTH_FILE, read_truth, write_actions
from vidattn.errors import AnnotationError
from vidattn.files import write_text

CLIPS_PER_CLASS = {"train": 120, "test": 42}
TEST_FRACTION = 0.3
TRAINING_LIST = "training.csv"


@dataclass(frozen=True)
class Material:
    """What the demo trains and tests on.

    Attributes:
        training: annotations for training.
        training_count: how many videos they name.
        root: folder of its videos.
        test: videos to test on.
        truths: video id in `test` -> when and where its action is; empty where nobody knows.
    """

    training: Path
    training_count: int
    root: Path
    test: list[Sample]
    truths: dict[str, Truth]


def _is_split(folder: Path) -> bool:
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def make_actions(folder: Path, seed: int) -> Material:
    """The demo's own videos, written to a folder."""
    write_actions(
        folder, clips_per_class=CLIPS_PER_CLASS, seed=seed, workers=min(os.cpu_count() or 1, 8)
    )
    return read_folder(folder)


def own_videos(folder: Path, output: Path, seed: int) -> Material:
    """A person's videos, with some held out for the test where the folder does not say which.

    Args:
        folder: of class folders, or of `train` and `test` with class folders each.
        output: gets the list of those that are trained on.
        seed: of the split.

    Raises:
        AnnotationError: it is no such folder.
    """
    if not folder.is_dir():
        raise AnnotationError(folder, 0, "expected a folder of class folders, found none")
    if _is_split(folder):
        return read_folder(folder)
    samples = read_annotations(folder)
    training, test = split_by_group(samples, TEST_FRACTION, seed=seed)
    listed = output / TRAINING_LIST
    rows = [(sample.video_id, sample.labels[0]) for sample in training]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("path", "label"), *rows])
    write_text(listed, text.getvalue())
    return Material(listed, len(training), folder, test, _truths(folder, test, ""))


def read_folder(folder: Path) -> Material:
    """`train` and `test` with class folders each, and the truth beside them if it is there."""
    count = len(read_annotations(folder / "train"))
    test = read_annotations(folder / "test")
    truths = _truths(folder, test, "test/")
    return Material(folder / "train", count, folder / "train", test, truths)


def _truths(folder: Path, samples: Sequence[Sample], prefix: str) -> dict[str, Truth]:
    if not (folder / TRUTH_FILE).is_file():
        return {}
    try:
        known = {row.path: row for row in read_truth(folder)}
    except AnnotationError as error:  # a file of that name may be anything
        print(f"vidattn: {error}; going on without knowing when and where", file=sys.stderr)
        return {}
    rows = {sample.video_id: known.get(prefix + sample.video_id) for sample in samples}
    return {
        name: Truth(row.start_frame, row.end_frame, row.boxes) for name, row in rows.items() if row
    }
