from __future__ import annotations

from pathlib import Path

import pytest

from vidattn.errors import ArgumentError
from vidattn.runs.journal import FinishedElsewhereError, Journal
from vidattn.runs.part_files import PartState


def test_records_of_all_writers_are_found(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", {"views": 1})
    one = journal.writer(0, 1, "one")
    other = Journal(tmp_path / "run", {"views": 1}).writer(1, 1, "other")
    assert one is not None
    assert other is not None
    one.write({3: {"score": 0.1}, 4: {"score": 1 / 3}})
    other.write({0: {"failure": "torn\nin two"}})
    found = Journal(tmp_path / "run", {"views": 1}).records()
    assert dict(found) == {0: {"failure": "torn\nin two"}, 3: {"score": 0.1}, 4: {"score": 1 / 3}}
    assert dict(journal.part_records(1, 1)) == {0: {"failure": "torn\nin two"}}
    assert (journal.owner(0, 1), journal.owner(1, 1), journal.owner(2, 1)) == ("one", "other", "")
    Journal.remove(tmp_path / "run")
    assert list(journal.records()) == []
    assert not (tmp_path / "run").exists()


def test_a_part_has_one_writer_of_each_generation_and_the_latest_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {})
    first = journal.writer(7, 1, "one")
    assert first is not None
    assert journal.writer(7, 1, "other") is None
    second = journal.writer(7, 2, "other")
    assert second is not None
    second.write({70: {"by": "other"}})
    first.write({70: {"by": "one"}, 71: {"by": "one"}})  # it was slow
    assert journal.part_records(7, 2) == {70: {"by": "other"}, 71: {"by": "one"}}
    assert journal.part_records(7, 1) == {70: {"by": "one"}, 71: {"by": "one"}}


def test_the_state_of_parts_is_in_the_names_of_files(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {})
    for part, generation in ((0, 1), (1, 1), (1, 2), (2, 1)):
        journal.writer(part, generation, "one")
    journal.mark_done(0, 1, 5, failed=3)
    journal.mark_done(1, 1, 5, failed=2)  # it is done once more
    (tmp_path / "part-0000009.0001.jsonl.notes").touch()
    assert Journal.is_begun(tmp_path)
    (tmp_path / "part-00000000-0000005.0001.jsonl").touch()  # of a run of other settings
    assert journal.parts() == {0: PartState(1, 5, 3), 1: PartState(2), 2: PartState(1)}
    journal.mark_done(1, 2, 4, failed=0)
    assert journal.parts()[1] == PartState(2, 4, 0)
    Journal.remove(tmp_path)
    with pytest.raises(FinishedElsewhereError):
        journal.parts()
    with pytest.raises(FinishedElsewhereError):
        journal.writer(3, 1, "one")


def test_what_is_torn_does_not_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {})
    writer = journal.writer(0, 1, "one")
    assert writer is not None
    writer.write({0: {}, 1: {}, 2: {}, 3: {}})
    [file] = tmp_path.glob("*.jsonl")
    head, *lines = file.read_bytes().splitlines(keepends=True)
    # A power cut leaves zeros or nothing where data was not yet on the disk; a kill half a line,
    # which may even be whole JSON.
    torn = [head, lines[0], b"\0" * 10 + b"\n", b"[1]\n", lines[2], lines[3].rstrip(b"\n")]
    file.write_bytes(b"".join(torn))
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
    writer = Journal(tmp_path, {"mean": (0.1, 0.2)}).writer(0, 1, "one")
    assert writer is not None
    writer.write({5: {}})
    for mean in ((0.1, 0.2), [0.1, 0.2]):
        assert [number for number, _ in Journal(tmp_path, {"mean": mean}).records()] == [5]
    with pytest.raises(ArgumentError, match="mean"):
        Journal(tmp_path, {"mean": (0.2, 0.1)})


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("[1, 2]")
    with pytest.raises(ArgumentError, match=r"settings\.json"):
        Journal(tmp_path, {})
