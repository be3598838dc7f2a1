"""Key frames of long lists in Parquet and tar files: the same as in single files."""

from __future__ import annotations

import errno
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError, MissingLibraryError, UnknownNameError
from vidattn.runs import parquet_results
from vidattn.runs.reading import read_results
from vidattn.runs.result_files import JOURNAL_FOLDER

parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: vidattn[parquet]")

SETTINGS: dict[str, Any] = {"count": 2, "minimum_gap_seconds": 0}


@pytest.fixture
def films(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(5):
        write_flash(f"films/{number}.v.mp4", frame_count=6 + number, span=(0, 9 * number))
    (tmp_path / "films" / "broken.mp4").write_bytes(b"no video")
    return tmp_path / "films"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and JOURNAL_FOLDER not in str(path) and ".vidattn-failed" not in str(path)
    }


def without_images(record: Any) -> Any:
    return {**record, "frames": [{**each, "image": None} for each in record.get("frames", [])]}


def test_rows_and_pictures_are_those_of_single_files(films: Path, tmp_path: Path) -> None:
    single = vidattn.write_keyframes([films], tmp_path / "single", **SETTINGS)
    stored = vidattn.write_keyframes(
        [films], tmp_path / "stored", results="parquet", processes=2, **SETTINGS
    )
    assert single is not None
    assert stored is not None
    assert (len(stored), len(stored.failures)) == (5, 1)
    assert stored.failures == single.failures
    one, other = (
        {each.video: each for each in read_results(tmp_path / name)}
        for name in ("single", "stored")
    )
    assert list(other) == sorted(other) == sorted(one)
    for video in one:
        assert without_images(other[video].record) == without_images(one[video].record)
        assert [(f.frame_index, f.seconds, f.score) for f in other[video].frames] == [
            (f.frame_index, f.seconds, f.score) for f in one[video].frames
        ]
    broken = other[str(films / "broken.mp4")]
    assert (broken.status, broken.attempts, broken.frames) == ("failed", 1, ())
    assert "not a video file" in (broken.reason or "")
    pictures = {}
    for path in (tmp_path / "stored").glob("pictures/*.tar"):
        with tarfile.open(path) as file:
            pictures |= {member.name: file.extractfile(member).read() for member in file}
    for video in one.values():
        for frame, stored_frame in zip(video.frames, other[video.video].frames, strict=True):
            assert (
                pictures[stored_frame.image]
                == (tmp_path / "single" / str(frame.image)).read_bytes()
            )
    keys = {name.partition(".")[0] for name in pictures}
    assert len(keys) == 5  # all pictures of a video have one key
    assert len(pictures) == 5 * 3
    assert not (tmp_path / "stored" / JOURNAL_FOLDER).exists()
    names = [path.name for path in (tmp_path / "stored").iterdir()]
    assert sorted(names) == [".vidattn-failed", "keyframes.json", "pictures", "videos"]


def test_any_parquet_tool_reads_the_rows(films: Path, tmp_path: Path) -> None:
    vidattn.write_keyframes(
        [films], tmp_path / "out", results="parquet", pictures="rows", width=32, **SETTINGS
    )
    table = parquet.read_table(tmp_path / "out" / "videos")  # a folder, as pandas reads it
    rows = table.to_pylist()
    assert [row["status"] for row in rows] == ["done"] * 5 + ["failed"]
    record = json.loads((tmp_path / "out" / "keyframes.json").read_text())
    counts = [record[f"videos_{name}"] for name in ("expected", "done", "failed")]
    assert counts == [6, 5, 1]
    assert "videos" not in record
    for row in rows[:5]:
        assert len(row["frame_index"]) == len(row["seconds"]) == len(row["score"]) == 2
        assert [picture[:2] for picture in row["pictures"]] == [b"\xff\xd8"] * 2
        assert json.loads(row["record"])["video"] == row["video"]
    assert not list((tmp_path / "out").glob("**/*.tar"))
    [first, *_] = read_results(tmp_path / "out")
    assert [frame.picture for frame in first.frames] == rows[0]["pictures"]


@pytest.mark.parametrize("pictures", ["tar", "rows"])
def test_the_bits_do_not_depend_on_kills_and_tries(
    pictures: str, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS | {"results": "parquet", "pictures": pictures, "processes": 0}
    monkeypatch.setattr(parquet_results, "MANY_PARTS", 2)  # parts of three videos
    good = (films / "4.v.mp4").read_bytes()
    (films / "4.v.mp4").write_bytes(b"no video for now")
    vidattn.write_keyframes([films], tmp_path / "out", **settings)
    (films / "4.v.mp4").write_bytes(good)
    whole = parquet_results.ParquetFolder.keep_part
    fell = []

    def fall(self: Any, part: int, records: Any) -> None:
        whole(self, part, records)
        if not fell:
            fell.append(part)
            raise OSError(5, "after the files, before they count")

    monkeypatch.setattr(parquet_results.ParquetFolder, "keep_part", fall)
    with pytest.raises(OSError, match="before they count"):
        vidattn.write_keyframes([films], tmp_path / "out", retry_failed=True, **settings)
    found = vidattn.write_keyframes([films], tmp_path / "out", **settings)
    assert found is not None
    assert len(found.failures) == 1
    vidattn.write_keyframes([films], tmp_path / "other", **settings)
    one, other = files(tmp_path / "out"), files(tmp_path / "other")
    assert one.keys() == other.keys()
    assert {name for name in one if one[name] != other[name]} <= {"keyframes.json"}
    assert len([name for name in one if name.endswith(".parquet")]) == 2


def test_other_settings_replace_the_files_of_an_unfinished_run(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    output = tmp_path / "out"
    settings = SETTINGS | {"results": "parquet", "processes": 0}
    with monkeypatch.context() as patch:
        patch.setattr(
            parquet_results.ParquetFolder,
            "forget_part",
            lambda *_: (_ for _ in ()).throw(OSError(28)),
        )
        with pytest.raises(OSError):
            vidattn.write_keyframes([films], output, **settings)
    assert list(output.glob("videos/*.parquet"))
    with pytest.raises(ArgumentError, match="pictures: "):
        vidattn.write_keyframes([films], output, **settings | {"pictures": "rows"})
    vidattn.write_keyframes([films], output, overwrite=True, **SETTINGS)
    assert not list(output.glob("**/*.parquet"))
    assert not list(output.glob("**/*.tar"))
    assert len({each.video for each in read_results(output)}) == 6


def test_what_is_missing_or_misspelt_is_said(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownNameError, match="results"):
        vidattn.write_keyframes([films], tmp_path / "out", results="parket")
    with pytest.raises(UnknownNameError, match="pictures"):
        vidattn.write_keyframes([films], tmp_path / "out", results="parquet", pictures="zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="expected the --output folder"):
        read_results(tmp_path / "empty")

    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(parquet_results, "import_module", missing)
    with pytest.raises(MissingLibraryError, match=r"pip install 'vidattn\[parquet\]'"):
        vidattn.write_keyframes([films], tmp_path / "out", results="parquet")
    assert (
        main(["keyframes", str(films), "--output", str(tmp_path / "o"), "--results", "parquet"])
        == 1
    )
    assert "vidattn[parquet]" in capsys.readouterr().err
