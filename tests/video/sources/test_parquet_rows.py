"""Videos in rows of Parquet files, with the frames of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn import write_keyframes
from vidattn.data import read_annotations
from vidattn.errors import LimitError, NotAVideoError, UnsafePathError, VideoNotFoundError
from vidattn.runs.video_lists import listed_videos
from vidattn.video import Limits, open_video

pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: vidattn[parquet]")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: vidattn[parquet]")

Films = Callable[[str], Path]
NAMES = ["b_frames", "transport_stream", "mpeg4_avi", "b_frames"]


@pytest.fixture(params=["bytes", "structures"])
def rows(request: pytest.FixtureRequest, films: Films, tmp_path: Path) -> Path:
    """Four videos in two row groups, as bytes or as Hugging Face has them."""
    values: list[Any] = [films(name).read_bytes() for name in NAMES]
    if request.param == "structures":
        values = [
            {"bytes": data, "path": films(name).name}
            for data, name in zip(values, NAMES, strict=True)
        ]
    table = pyarrow.table({"label": ["a", "b", "a", "b"], "video": values})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=3)
    return tmp_path / "rows.parquet"


def test_frames_are_those_of_the_file(rows: Path, films: Films) -> None:
    for number, name in enumerate(NAMES):
        address = f"{rows}::video[{number}]"
        with open_video(address) as ours, open_video(films(name)) as theirs:
            everything = range(len(theirs))
            assert ours.path == address
            assert ours.seconds_of(everything) == theirs.seconds_of(everything)
            frames = ours.frames_at(everything).array
            assert np.array_equal(frames, theirs.frames_at(everything).array)


def test_lists_have_a_video_a_row(rows: Path, tmp_path: Path) -> None:
    addresses = [f"{rows}::video[{number}]" for number in range(4)]
    assert list(map(str, listed_videos([rows]))) == addresses
    found = write_keyframes([rows], tmp_path / "out", count=1, processes=0)
    assert found is not None
    assert [video.video for video in found] == addresses
    assert [video.images[0].rpartition("/")[0] for video in found] == [
        f"rows/video[{number}]" for number in range(4)
    ]


def test_annotations_may_name_rows(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\nrows.parquet::video[3],b\n")
    [sample] = read_annotations(tmp_path / "list.csv")
    assert sample.video_id == "rows.parquet::video[3]"
    with open_video(sample.path) as reader:
        assert len(reader) == 40


@pytest.mark.parametrize(
    ("cell", "kind", "reason"),
    [
        ("video[4]", VideoNotFoundError, "the file has 4 rows"),
        ("film[0]", VideoNotFoundError, "no column 'film'"),
        ("video", VideoNotFoundError, r"expected a cell such as video\[7\]"),
        ("video[-1]", VideoNotFoundError, "expected a cell"),
        ("label[0]", NotAVideoError, "no bytes of a video"),
    ],
)
def test_cells_that_are_no_videos(rows: Path, cell: str, kind: Any, reason: str) -> None:
    with pytest.raises(kind, match=reason):
        open_video(f"{rows}::{cell}")


def test_hostile_rows(tmp_path: Path, films: Films) -> None:
    path, video = tmp_path / "a.parquet", films("b_frames").read_bytes()
    values = [b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", b"", None, b"text" * 99, video]
    parquet.write_table(pyarrow.table({"video": values}), path)
    kinds = [UnsafePathError, NotAVideoError, NotAVideoError, NotAVideoError]
    for number, kind in enumerate(kinds):
        with pytest.raises(kind):
            open_video(f"{path}::video[{number}]")
    with pytest.raises(LimitError, match="larger than"):
        open_video(f"{path}::video[4]", limits=Limits(maximum_copied_bytes=len(video) - 1))
    path.write_bytes(b"no Parquet")
    with pytest.raises(NotAVideoError, match="cannot be read as Parquet"):
        open_video(f"{path}::video[0]")
    with pytest.raises(VideoNotFoundError, match="no such file"):
        open_video(f"{tmp_path}/none.parquet::video[0]")
