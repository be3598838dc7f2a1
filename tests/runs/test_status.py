"""How far a run is, of one that is at work, one that was stopped and one that is finished."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.runs.acting_work import ActingWork
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError, TooManyFailuresError
from vidattn.runs.journal import Journal
from vidattn.runs.limits import RunLimits
from vidattn.runs.parts import SingleVideos
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import work_through
from vidattn.runs.status import run_status
from vidattn.runs.video_lists import list_digest
from vidattn.runs.worker import Worker

NAMES = ["a", "kill-1", "b", "broken-1", "broken-2", "c"]


def run(folder: Path, **limits: Any) -> None:
    (folder / "attempts").mkdir(exist_ok=True)
    output = ResultFolder(folder / "out", "act", "act.json")
    records = work_through(
        ActingWork(NAMES, folder / "attempts"),
        SingleVideos(len(NAMES)),
        NAMES,
        output=output,
        settings={"threads": 1, "videos": list_digest(NAMES)},
        limits=RunLimits(**limits),
        description="acting",
        progress=False,
    )
    assert records is not None
    failures = [record for record in records.values() if "error" in record]
    content = {"videos_expected": 6, "videos_done": 3, "videos_failed": 3, "failures": failures}
    output.finish(content, [])


def test_a_run_that_was_stopped_and_then_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TooManyFailuresError):
        run(tmp_path, maximum_failures=2)
    found = run_status(tmp_path / "out")
    assert (found.command, found.state, found.videos_expected) == ("act", "stopped", 6)
    assert (found.videos_done, found.videos_failed, found.processes) == (2, 3, 0)
    assert found.reasons == {"no video": 2, "its process was killed by SIGKILL": 1}
    assert [each.video for each in found.quarantined] == ["kill-1"]
    assert found.seconds_left is None
    run(tmp_path)
    found = run_status(tmp_path / "out")
    assert (found.state, found.videos_done, found.videos_failed) == ("finished", 3, 3)
    assert [each.video for each in found.quarantined] == ["kill-1"]
    assert main(["runs", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'out'}: vidattn act: finished, 6 of 6 videos",
        "  3 failed (50.0%):",
        "          2 no video",
        "          1 its process was killed by SIGKILL",
        "  1 quarantined:",
        "    kill-1: its process was killed by SIGKILL",
    ]
    assert main(["runs", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_json()


def test_the_pace_of_a_run_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "out" / JOURNAL_FOLDER
    journal = Journal(folder, {"videos": {"count": 1000, "sha256": "0"}})
    for part in range(5):
        writer = journal.writer(part, 1, "one")
        assert writer is not None
        records = {number: {"video": "x"} for number in range(part * 100, part * 100 + 100)}
        writer.write(records if part < 4 else dict(list(records.items())[:40]))
        if part < 4:
            journal.mark_done(part, 1, 100, failed=0)
            [mark] = folder.glob(f"*{part:07}.0001.done-100-0")
            os.utime(mark, (0, 1000.0 + 20 * part))
    worker = Worker(folder)
    found = run_status(tmp_path / "out")
    assert (found.state, found.processes) == ("at work", 1)
    assert (found.videos_done, found.videos_expected) == (440, 1000)
    assert found.videos_per_second == pytest.approx(5.0)  # 100 in 20 seconds
    assert found.seconds_left == pytest.approx(560 / 5)
    worker.close()
    assert run_status(tmp_path / "out").state == "stopped"


def test_a_report_and_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    report = tmp_path / "health.json"
    assert main(["index", str(tmp_path / "broken.mp4"), "--report", str(report)]) == 1
    found = run_status(report)
    assert (found.command, found.state, found.videos_failed) == ("index", "finished", 1)
    capsys.readouterr()
    (tmp_path / "empty").mkdir()
    for nothing in ("empty", "nowhere"):
        with pytest.raises(ArgumentError, match="expected the --output folder"):
            run_status(tmp_path / nothing)
    assert main(["runs", str(tmp_path / "empty")]) == 1
    assert "expected the --output folder" in capsys.readouterr().err
