from __future__ import annotations

from pathlib import Path

import pytest

from vidattn.errors import ArgumentError
from vidattn.runs.journal import Journal


def test_records_of_all_writers_are_found(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", {"views": 1})
    with journal.writer() as one, Journal(tmp_path / "run", {"views": 1}).writer() as other:
        one.write({3: {"score": 0.1}, 4: {"score": 1 / 3}})
        other.write({0: {"failure": "torn\nin two"}})
        assert dict(journal.records()).keys() == {0, 3, 4}
    found = Journal(tmp_path / "run", {"views": 1}).records()
    assert dict(found) == {0: {"failure": "torn\nin two"}, 3: {"score": 0.1}, 4: {"score": 1 / 3}}
    Journal.remove(tmp_path / "run")
    assert list(journal.records()) == []
    assert not (tmp_path / "run").exists()


def test_what_is_torn_does_not_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {})
    with journal.writer() as writer:
        writer.write({0: {}, 1: {}, 2: {}, 3: {}})
    [file] = tmp_path.glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    # A power cut leaves zeros or nothing where data was not yet on the disk; a kill half a line,
    # which may even be whole JSON.
    file.write_bytes(lines[0] + b"\0" * 10 + b"\n" + b"[1]\n" + lines[2] + lines[3].rstrip(b"\n"))
    assert [number for number, _ in journal.records()] == [0, 2]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"views": 2, "clip": {"frames": 8}}, "views: 1 there, 2 here"),
        ({"views": 1, "clip": {"frames": 8}, "more": None, "x": 1}, "x: null there, 1 here"),
        ({"views": 1, "clip": {"frames": 16}}, 'clip: {"frames": 8} there, {"frames": 16} here'),
    ],
)
def test_other_settings_are_refused_with_what_differs(
    tmp_path: Path, settings: dict, reason: str
) -> None:
    Journal(tmp_path, {"views": 1, "clip": {"frames": 8}})
    with pytest.raises(ArgumentError) as caught:
        Journal(tmp_path, settings)
    assert reason in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_tuples_are_the_lists_that_json_makes_of_them(tmp_path: Path) -> None:
    with Journal(tmp_path, {"mean": (0.1, 0.2)}).writer() as writer:
        writer.write({5: {}})
    for mean in ((0.1, 0.2), [0.1, 0.2]):
        assert [number for number, _ in Journal(tmp_path, {"mean": mean}).records()] == [5]
    with pytest.raises(ArgumentError, match="mean"):
        Journal(tmp_path, {"mean": (0.2, 0.1)})


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("[1, 2]")
    with pytest.raises(ArgumentError, match=r"settings\.json"):
        Journal(tmp_path, {})
