"""A run with failures: what is tried again, and when it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.runs.acting_work import ActingWork
from vidattn.errors import ArgumentError, TooManyFailuresError
from vidattn.runs.limits import RunLimits
from vidattn.runs.parts import SingleVideos
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.results import KEPT_FOLDER, ResultFolder
from vidattn.runs.run import work_through
from vidattn.runs.work import Record

NAMES = ["a", "broken-1", "b", "mend-1", "c", "mend-2"]


def run(
    folder: Path,
    *names: str,
    limit: str | int | None = None,
    settings: int = 1,
    groups: Any = None,
    **more: bool,
) -> dict[str, Record]:
    """Works on videos of these names here, and finishes the run."""
    (folder / "attempts").mkdir(exist_ok=True)
    output = ResultFolder(folder / "out", "act", "act.json", **more)
    records = work_through(
        ActingWork(names, folder / "attempts"),
        groups or SingleVideos(len(names)),
        names,
        output=output,
        settings={"threads": 1, "names": names, "own": settings},
        processes=0,
        limits=RunLimits(maximum_failures=limit),
        description="acting",
        progress=False,
    )
    assert records is not None
    found = {name: records[number] for number, name in enumerate(names)}
    output.finish({"videos": list(names)}, [])
    return found


def attempts(folder: Path, names: list[str] = NAMES) -> list[int]:
    return [len(list((folder / "attempts").glob(f"{name}.*"))) for name in names]


def failed(found: dict[str, Record]) -> list[str]:
    return [name for name, record in found.items() if "error" in record]


def test_only_what_failed_is_tried_again(tmp_path: Path) -> None:
    first = run(tmp_path, *NAMES)
    assert failed(first) == ["broken-1", "mend-1", "mend-2"]
    with pytest.raises(ArgumentError, match=r"earlier run; --retry-failed .* failed videos again"):
        run(tmp_path, *NAMES)
    (tmp_path / "attempts" / "mended").touch()
    second = run(tmp_path, *NAMES, retry_failed=True)
    assert failed(second) == ["broken-1"]
    assert second["mend-1"]["with"] == ["mend-1"]
    assert second["a"] == first["a"]
    assert attempts(tmp_path) == [1, 2, 1, 2, 1, 2]
    third = run(tmp_path, *NAMES, retry_failed=True)
    assert third == second
    assert attempts(tmp_path) == [1, 3, 1, 2, 1, 2]


def test_a_run_without_failures_leaves_nothing_to_try_again(tmp_path: Path) -> None:
    run(tmp_path, "a", "mend-1")
    assert (tmp_path / "out" / KEPT_FOLDER).is_dir()
    (tmp_path / "attempts" / "mended").touch()
    run(tmp_path, "a", "mend-1", retry_failed=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["act.json"]
    with pytest.raises(ArgumentError, match=r"earlier run; --overwrite"):
        run(tmp_path, "a", "mend-1", retry_failed=True)


def test_the_whole_group_of_a_failed_video_is_done_again(tmp_path: Path) -> None:
    names, groups = ["a", "mend-1", "b", "c"], [[0, 1], [2, 3]]
    assert run(tmp_path, *names, groups=groups)["a"]["with"] == ["a"]
    (tmp_path / "attempts" / "mended").touch()
    found = run(tmp_path, *names, groups=groups, retry_failed=True)
    assert found["a"]["with"] == found["mend-1"]["with"] == ["a", "mend-1"]
    assert attempts(tmp_path, names) == [2, 2, 1, 1]


def test_other_settings_are_not_mixed_with_what_is_kept(tmp_path: Path) -> None:
    run(tmp_path, *NAMES)
    with pytest.raises(ArgumentError, match="own: 1 there, 2 here"):
        run(tmp_path, *NAMES, settings=2, retry_failed=True)
    found = run(tmp_path, *NAMES, settings=2, overwrite=True)
    assert failed(found) == ["broken-1", "mend-1", "mend-2"]
    assert attempts(tmp_path) == [2] * 6


def test_a_file_that_a_person_changed_is_not_written_over(tmp_path: Path) -> None:
    run(tmp_path, "broken-1", "a")
    (tmp_path / "out" / "act.json").unlink()
    (tmp_path / "out" / "act.json").mkdir()
    with pytest.raises(ArgumentError, match="in the way"):
        run(tmp_path, "broken-1", "a", retry_failed=True)


@pytest.mark.parametrize(
    ("limit", "tried", "words"),
    [
        (1, [1, 1, 1, 1, 0, 0], "2 of 6 videos have failed, more than --maximum-failures 1 allows"),
        ("34%", [1, 1, 1, 1, 1, 1], "3 of 6 videos have failed, more than --maximum-failures 34%"),
        ("0", [1, 1, 0, 0, 0, 0], r"the last: broken-1: no video"),
    ],
)
def test_a_run_stops_when_too_many_have_failed(
    limit: str | int, tried: list[int], words: str, tmp_path: Path
) -> None:
    with pytest.raises(TooManyFailuresError, match=words):
        run(tmp_path, *NAMES, limit=limit)
    assert attempts(tmp_path) == tried
    assert (tmp_path / "out" / JOURNAL_FOLDER).is_dir()
    found = run(tmp_path, *NAMES, limit="50%")
    assert failed(found) == ["broken-1", "mend-1", "mend-2"]
    assert attempts(tmp_path) == [1] * 6  # what was recorded is not tried again


def test_what_is_recorded_already_counts(tmp_path: Path) -> None:
    with pytest.raises(TooManyFailuresError):
        run(tmp_path, *NAMES, limit=1)
    with pytest.raises(TooManyFailuresError, match="3 of 6 videos"):
        run(tmp_path, *NAMES, limit=1)
    (tmp_path / "attempts" / "mended").touch()
    found = run(tmp_path, *NAMES, limit=1, retry_failed=True)
    assert failed(found) == ["broken-1"]


@pytest.mark.parametrize("limit", ["-1", "5 %%", "101%", "1.5", "some", ""])
def test_what_is_no_number_of_failures_is_refused(limit: str) -> None:
    with pytest.raises(ArgumentError, match=r"maximum_failures: expected a number .* such as 5%"):
        RunLimits(maximum_failures=limit)


def test_parts_of_the_list() -> None:
    assert RunLimits(maximum_failures="2.5%").most_failures(1000) == 25
    assert RunLimits(maximum_failures=7).most_failures(1000) == 7
    assert RunLimits().most_failures(10) == float("inf")
