"""However a run is shared out or interrupted, the result is the same to the last digit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError
from vidattn.runs import journal, result_files

SETTINGS: dict[str, Any] = {
    "views": 3,
    "crops": 3,
    "batch_size": 4,
    "threads": 1,
    "progress": False,
}

# Ends its own process, as a full memory would, in the middle of writing the third record.
KILLED = """
import os, signal, sys
from vidattn.jobs import evaluate
from vidattn.runs import journal

whole, lines = journal.JournalWriter.write, []

def write(self, records):
    lines.extend(records)
    if len(lines) == 3:
        os.write(self._descriptor, b'{"number": 4, "rec')
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, records)

journal.JournalWriter.write = write
checkpoint, data, output = sys.argv[1:]
evaluate(checkpoint, data, output=output, views=3, crops=3, batch_size=4, threads=1,
         processes=0)
"""


def result(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "evaluation.json").read_text())
    assert set(record.pop("times")) == {"finished", "seconds"}
    return record


@pytest.fixture
def whole(untrained: Path, class_folders: Path, tmp_path: Path) -> dict[str, Any]:
    """What one process makes of it in one go."""
    vidattn.evaluate(untrained, class_folders, output=tmp_path / "whole", **SETTINGS)
    return result(tmp_path / "whole")


def test_two_processes_with_uneven_shares(
    untrained: Path, class_folders: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    output = tmp_path / "shared"
    arguments = ["evaluate", str(untrained), "--data", str(class_folders), "--views", "3"]
    arguments += ["--crops", "3", "--batch-size", "4", "--processes", "2", "--threads", "1"]
    assert main([*arguments, "--output", str(output)]) == 1  # one video is broken
    assert result(output) == whole
    assert (whole["videos_done"], whole["videos_failed"]) == (6, 1)
    [failure] = whole["failures"]
    assert Path(failure["video"]) == class_folders / "bright" / "broken.mp4"
    assert not (output / result_files.JOURNAL_FOLDER).exists()


def test_a_killed_run_goes_on_where_it_was(
    untrained: Path,
    class_folders: Path,
    tmp_path: Path,
    whole: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "killed"
    arguments = [sys.executable, "-c", KILLED, untrained, class_folders, output]
    ended = subprocess.run(list(map(str, arguments)), capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    files = [
        path.read_bytes() for path in sorted((output / result_files.JOURNAL_FOLDER).glob("*.jsonl"))
    ]
    assert [each.count(b"\n") for each in files] == [2, 2, 1]  # each has a line with its writer
    assert not files[-1].endswith(b"\n")

    with pytest.raises(ArgumentError, match=r"other settings \(batch_size: 4 there, 5 here\)"):
        vidattn.evaluate(untrained, class_folders, output=output, **(SETTINGS | {"batch_size": 5}))
    written: list[int] = []
    write = journal.JournalWriter.write

    def counted(self: journal.JournalWriter, records: dict[int, Any]) -> dict[int, Any]:
        written.extend(records)
        return write(self, records)

    monkeypatch.setattr(journal.JournalWriter, "write", counted)
    vidattn.evaluate(untrained, class_folders, output=output, **SETTINGS)
    assert written == [2, 3, 4, 5, 6]
    assert result(output) == whole
    assert not (output / result_files.JOURNAL_FOLDER).exists()


def test_a_video_that_changed_is_evaluated_again(
    untrained: Path, class_folders: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = [sys.executable, "-c", KILLED, untrained, class_folders, output]
    subprocess.run(list(map(str, arguments)), capture_output=True)
    first = class_folders / "bright" / "0.mp4"  # its part of the list was done
    first.write_bytes(b"no video any more")
    found = vidattn.evaluate(untrained, class_folders, output=output, **SETTINGS)
    assert found is not None
    broken = [first, class_folders / "bright" / "broken.mp4"]
    assert [Path(each.video) for each in found.failures] == broken


def test_processes_of_a_launcher_share_the_run(
    untrained: Path,
    class_folders: Path,
    tmp_path: Path,
    whole: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "launched"
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in ("2", "0", "1"):  # the first to come finds all the work still to be done
        monkeypatch.setenv("RANK", rank)
        found = vidattn.evaluate(untrained, class_folders, output=output, **SETTINGS)
        assert (found is not None) == (rank == "2")
    assert result(output) == whole
    with pytest.raises(ArgumentError, match="launcher"):
        vidattn.evaluate(untrained, class_folders, output=output, processes=2, **SETTINGS)


def test_batches_are_the_same_however_videos_fill_them(
    untrained: Path, class_folders: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = SETTINGS | {"views": 1, "crops": 1}
    alone = vidattn.evaluate(untrained, class_folders, **settings)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    shared = vidattn.evaluate(untrained, class_folders, output=tmp_path / "out", **settings)
    assert alone is not None
    assert shared is not None
    assert (alone.scores == shared.scores).all()
