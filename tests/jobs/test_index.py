from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.jobs import index as indexing
from vidattn.jobs import index_videos
from vidattn.runs import journal


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    write_flash("videos/a.mp4", frame_count=30)
    write_flash("videos/below/b.mp4", frame_count=12, size=(48, 64))
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "videos" / "notes.md").write_text("not asked for")
    return tmp_path / "videos"


def test_every_video_below_is_looked_over(folder: Path, tmp_path: Path) -> None:
    found = index_videos([folder], progress=False)
    assert found is not None
    assert [Path(each.video).name for each in found] == ["a.mp4", "b.mp4"]
    first, second = found
    with vidattn.open_video(folder / "a.mp4") as reader:
        assert first.metadata == reader.metadata
        assert len(reader) == first.metadata.frame_count == 30
    assert first.metadata.codec == "h264"
    assert first.metadata.intra_frame_count >= 1
    assert second.metadata.size == (48, 64)
    assert (first.pictures_decoded, first.table_not_kept, first.damaged_spans) == (
        False,
        None,
        None,
    )
    [broken] = found.failures
    assert (Path(broken.video).name, broken.error) == ("broken.mp4", "NotAVideoError")
    assert repr(found) == "<IndexResult of 2 videos, 1 failed>"
    assert len(list((tmp_path / "cache").rglob("*.packets"))) == 2


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of videos as they are looked at, which `processes=0` does here; "stop" interrupts."""
    examine, names = indexing.examine, []

    def counted(path: str, **settings: Any) -> dict:
        if names and names[-1] == "stop":
            raise KeyboardInterrupt
        names.append(Path(path).name)
        return examine(path, **settings)

    monkeypatch.setattr(indexing, "examine", counted)
    return names


HERE = {"processes": 0, "progress": False}


def test_an_interrupted_run_goes_on(folder: Path, tmp_path: Path, looked_at: list[str]) -> None:
    report = tmp_path / "health.json"
    index_videos([folder / "a.mp4"], report=report, **HERE)
    before = report.read_bytes()
    looked_at[:] = ["stop"]
    with pytest.raises(KeyboardInterrupt):
        index_videos([folder], report=report, **HERE)
    assert report.read_bytes() == before
    looked_at.clear()
    index_videos([folder], report=report, **HERE)
    assert looked_at == ["b.mp4", "broken.mp4"]
    found = json.loads(report.read_text())
    assert [found[f"videos_{name}"] for name in ("expected", "done", "failed")] == [3, 2, 1]
    [failure] = found["failures"]
    assert (failure["video"], failure["attempts"]) == (str(folder / "broken.mp4"), 1)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    (folder / "broken.mp4").write_bytes(b"still no video")
    index_videos([folder], report=report, **HERE)
    assert looked_at == ["b.mp4", "broken.mp4", "broken.mp4"]
    index_videos([folder], report=report, overwrite=True, **HERE)
    assert looked_at[3:] == ["broken.mp4"]


def test_what_an_interrupted_run_over_other_videos_found_is_not_lost(
    folder: Path, tmp_path: Path, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "health.json"
    record = journal.JournalWriter.write

    def stop(writer: journal.JournalWriter, records: dict) -> dict:
        found = record(writer, records)
        looked_at.append("stop")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(journal.JournalWriter, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            index_videos([folder], report=report, **HERE)
    assert looked_at == ["a.mp4", "stop"]
    assert not report.exists()
    looked_at.clear()
    with pytest.raises(ArgumentError, match=r"holds 1 videos.*a\.mp4"):
        index_videos([folder / "below"], report=report, **HERE)
    given = [folder / "below", folder / "a.mp4"]
    records = index_videos(given, report=report, **HERE)
    assert looked_at == ["b.mp4"]
    assert [record.metadata.frame_count for record in records] == [12, 30]


def test_a_report_of_an_earlier_version_is_read(
    folder: Path, tmp_path: Path, looked_at: list[str]
) -> None:
    report, broken = tmp_path / "health.json", folder / "broken.mp4"
    status = broken.stat()
    old = {
        "video": str(broken),
        "state": [status.st_size, status.st_mtime_ns],
        "error": "NotAVideoError",
        "reason": "no",
    }
    report.write_text(json.dumps({"videos_found": 1, "videos_failed": 1, "videos": [old]}))
    index_videos([folder], report=report, **HERE)
    assert looked_at == ["a.mp4", "b.mp4"]
    assert json.loads(report.read_text())["failures"] == [old | {"attempts": 1}]


@pytest.mark.slow
def test_a_script_needs_no_guard(folder: Path, tmp_path: Path) -> None:
    script, report = tmp_path / "script.py", tmp_path / "health.json"
    script.write_text(
        "from vidattn.jobs import index_videos\n"
        f"index_videos([{str(folder)!r}], report={str(report)!r}, processes=2, progress=False)\n"
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(report.read_text())["videos_done"] == 2


def test_lists_and_what_is_not_there(folder: Path) -> None:
    listed = folder / "some.txt"
    listed.write_text("below/b.mp4\n\na.mp4\n")
    records = index_videos([listed], processes=2, progress=False)
    assert [Path(record.video).name for record in records] == ["b.mp4", "a.mp4"]
    listed.write_text("below/b.mp4\nabsent.mp4\n")
    with pytest.raises(AnnotationError, match=r"some.txt.*2.*absent.mp4"):
        index_videos([listed], progress=False)
    with pytest.raises(AnnotationError, match="nowhere"):
        index_videos([folder / "nowhere"], progress=False)


def test_the_command_prints_a_table_or_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(folder / "a.mp4"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["videos"][0]["frame_count"] == 30
    assert main(["index", str(folder)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"in {folder}:"
    assert ["a.mp4", "30", "1.20", "25", "96×64", "h264"] in [line.split()[:6] for line in printed]
    assert [line for line in printed if line.startswith("broken.mp4: not a video file")]
    assert printed[-1].startswith(
        "3 videos, 1 cannot be read; pictures were not decoded: --salvage"
    )


def test_videos_of_no_common_folder_are_named_from_here(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["index", "a.mp4", str(folder / "below" / "b.mp4")]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "h264" in line]
    assert names == ["a.mp4", os.path.join("below", "b.mp4")]


@pytest.mark.parametrize("kind", ["a file in the way", "read-only", "full", "no home"])
def test_a_cache_that_cannot_be_written_is_a_remark(
    kind: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if kind == "a file in the way":
        (tmp_path / "blocked").write_text("a file")
        monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "blocked" / "cache"))
    elif kind == "no home":
        monkeypatch.delenv("VIDATTN_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        number = errno.EROFS if kind == "read-only" else errno.ENOSPC

        def refuse(path: Path, *_: object) -> None:
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr("vidattn.video.packets.index_cache.write_bytes", refuse)
    # Here: what is patched is not so in another process.
    report = tmp_path / "r.json"
    films = [str(folder / "a.mp4"), str(folder / "below" / "b.mp4")]
    assert main(["index", *films, "--report", str(report), "--processes", "0"]) == 0
    captured = capsys.readouterr()
    [line] = [line for line in captured.err.splitlines() if line.strip()]
    assert line.startswith("vidattn: 2 packet tables are not kept")
    assert "VIDATTN_CACHE" in line
    assert "2 videos, 0 cannot be read" in captured.out
    assert [record["frame_count"] for record in json.loads(report.read_text())["videos"]] == [
        30,
        12,
    ]
    with vidattn.open_video(films[0]) as reader:
        assert len(reader) == 30
