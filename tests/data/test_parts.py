"""Samples that are a part of a video: `start` and `end` in a list."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from vidattn.data import ClipDataset, ClipSpec, part_columns, read_annotations
from vidattn.data.dataset import Draw
from vidattn.data.failures import Failure
from vidattn.data.split import split_by_group
from vidattn.errors import AnnotationError
from vidattn.video import VideoWriter

SPEC = ClipSpec(frames=4, frame_stride=2, short_side=32, crop_size=32)


def listing(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def root(make_video, tmp_path: Path) -> Path:
    """Two videos of 40 frames, 25 a second: 1.6 s."""
    make_video("a.mp4", frames=40)
    make_video("b.mp4", frames=40)
    return tmp_path


def dataset(path: Path, *, training: bool = False, **settings) -> ClipDataset:
    samples = read_annotations(path)
    return ClipDataset(samples, spec=SPEC, classes=["x", "y"], training=training, **settings)


def indices(clips) -> list[list[int]]:
    return [each.clip.indices.tolist() for each in clips]


def test_examples() -> None:
    assert doctest.testmod(part_columns).failed == 0


def test_parts_are_told_apart_and_stay_together(root: Path) -> None:
    text = "path,label,start,end\na.mp4,x,0,0.5\na.mp4,y,0.5,1.6\na.mp4,x,1,\nb.mp4,y,,\n"
    samples = read_annotations(listing(root, text))
    assert [sample.video_id for sample in samples] == [
        *("a.mp4#t=0,0.5", "a.mp4#t=0.5,1.6", "a.mp4#t=1", "b.mp4"),
    ]
    assert [(s.start_seconds, s.end_seconds) for s in samples] == [
        *((0, 0.5), (0.5, 1.6), (1, None), (None, None)),
    ]
    assert [sample.group for sample in samples] == ["a.mp4"] * 3 + ["b.mp4"]
    assert samples[1].name == f"{root / 'a.mp4'}#t=0.5,1.6"
    for side in split_by_group(samples, 0.5):
        assert len({sample.path for sample in side}) == 1


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [("0", "0.4", 0, 9), ("0.4", "0.8", 10, 19), ("0.41", "", 11, 39), ("", "0.4", 0, 9)],
)
def test_clips_come_from_the_part_alone(
    root: Path, start: str, end: str, first: int, last: int, cached: bool
) -> None:
    path = listing(root, f"path,label,start,end\na.mp4,x,{start},{end}\n")
    tested = dataset(path, views=3, cache_frames=cached)[0]
    found = indices(tested)
    assert found[0] == [first, first + 2, first + 4, first + 6]
    assert found[-1] == [last - 6, last - 4, last - 2, last]
    drawn = dataset(path, training=True, cache_frames=cached)
    starts = {indices(drawn[Draw(0, epoch)])[0][0] for epoch in range(40)}
    assert min(starts) >= first
    assert max(starts) <= last - 6
    assert len(starts) >= 4
    seconds = tested[0].clip.seconds.numpy()
    assert np.allclose(seconds, np.array(found[0]) / 25)


def test_a_short_part_repeats_its_own_last_frame(root: Path) -> None:
    path = listing(root, "path,label,start,end\na.mp4,x,0.4,0.56\n")
    [item] = dataset(path)[0]
    assert item.clip.indices.tolist() == [10, 12, 13, 13]
    assert item.clip.valid.tolist() == [True, True, False, False]


def test_times_are_the_frames_own(tmp_path: Path) -> None:
    """Three seconds of slides, then a second of film; no frame is where the mean rate says."""
    seconds = [0, 1, 2, *np.arange(3, 4, 0.04)]
    with VideoWriter(tmp_path / "v.mp4", fps=25, size=(32, 32), timed=True) as writer:
        for number, second in enumerate(seconds):
            writer.write(np.full((32, 32, 3), 5 * number, np.uint8), seconds=second)
    path = listing(tmp_path, "path,label,start,end\nv.mp4,x,3,4\nv.mp4,x,1.2,1.8\n")
    found = dataset(path, views=2)
    assert indices(found[0]) == [[3, 5, 7, 9], [21, 23, 25, 27]]
    assert indices(found[1])[0] == [1, 1, 1, 1]  # on the screen all the while


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ("2,3", "no part from 2 to 3 s .line 2.: the video ends at 1.6 s"),
        ("0.5,9", "no part from 0.5 to 9 s"),
        ("1.6,", "ends at 1.6 s"),
    ],
)
def test_a_part_beyond_the_end_is_that_samples_failure(root: Path, span: str, message: str) -> None:
    path = listing(root, f"path,label,start,end\na.mp4,x,{span}\na.mp4,y,0.5,1\n")
    for training in (False, True):
        found = dataset(path, training=training)
        failure = found[0]
        assert isinstance(failure, Failure)
        assert re.search(message, failure.reason)
        assert "#t=" in failure.path
        assert not isinstance(found[1], Failure)
        assert list(found.failures) == [failure.path]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("path,label,start,end\na.mp4,x,0.5,0.5", 2, "an end after the start of 0.5 s, got 0.5"),
        ("path,label,start,end\nb.mp4,x,,\na.mp4,x,2,1", 3, "an end after the start of 2 s"),
        ("path,label,end\na.mp4,x,0", 2, "an end after the start of 0 s"),
        ("path,label,start\na.mp4,x,-1", 2, "start: expected seconds from 0, got '-1'"),
        ("path,label,start\na.mp4,x,nan", 2, "start: expected seconds"),
        ("path,label,end\na.mp4,x,inf", 2, "end: expected seconds"),
        ("path,label,start,end\na.mp4,x,0:01,0:02", 2, "start: expected seconds"),
        ("path,label,start,end\na.mp4,x,0,1\na.mp4,y,0.0,1.00", 3, "same part .* on line 2"),
        ("path,label,start,end\na.mp4,x,,\na.mp4,x,,", 3, "listed before on line 2"),
        ("path,label,start_frame,end_frame\na.mp4,x,0,10", 1, "column 'start_frame'"),
        ("path,label,time_start,time_end\na.mp4,x,0,10", 1, "columns 'start' and 'end'"),
        ("path,label,Start,End\na.mp4,x,0,1", 1, "column 'Start'"),
    ],
)
def test_what_names_no_part_is_refused_with_its_line(
    root: Path, text: str, line: int, message: str
) -> None:
    with pytest.raises(AnnotationError, match=message) as caught:
        read_annotations(listing(root, text))
    assert caught.value.line == line
