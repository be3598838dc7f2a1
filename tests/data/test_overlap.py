from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vidattn.data import read_annotations
from vidattn.data.annotations import Sample
from vidattn.data.overlap import describe_overlap, shared_films


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "train" / "run" / "one.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(300_000))
    return path


def samples_of(*paths: Path) -> list[Sample]:
    return [Sample(path.resolve(), ("run",), path.name) for path in paths]


def test_the_same_path_through_links_and_dots(film: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(film.parent)
    (tmp_path / "val.csv").write_text("path,label\ntrain/run/one.mp4,run\n")
    others = [
        samples_of(tmp_path / "linked" / "one.mp4"),
        samples_of(tmp_path / "train" / ".." / "train" / "run" / "one.mp4"),
        read_annotations(tmp_path / "val.csv"),
    ]
    for held_out in others:
        (found,) = shared_films(read_annotations(tmp_path / "train"), held_out)
        assert found.trained == found.held_out == film.resolve()


def test_copies_under_another_name(film: Path, tmp_path: Path) -> None:
    copy = tmp_path / "val" / "walk" / "two.mkv"
    copy.parent.mkdir(parents=True)
    shutil.copy(film, copy)
    os.link(film, tmp_path / "hard.mp4")
    found = shared_films(samples_of(film), samples_of(copy, tmp_path / "hard.mp4"))
    assert [shared.held_out.name for shared in found] == ["two.mkv", "hard.mp4"]
    line = describe_overlap(samples_of(film), samples_of(copy), "validation")
    assert line.startswith("1 of 1 videos of validation are trained on too")
    assert f"{copy} (the same as {film})" in line


@pytest.mark.parametrize("place", [0, 60_000, 299_999])
def test_other_contents_of_one_size_are_others(film: Path, tmp_path: Path, place: int) -> None:
    content = bytearray(film.read_bytes())
    content[place] ^= 1
    (tmp_path / "other.mp4").write_bytes(content)
    assert shared_films(samples_of(film), samples_of(tmp_path / "other.mp4")) == []
    assert describe_overlap(samples_of(film), samples_of(tmp_path / "other.mp4"), "test") is None


def test_folders_of_images(tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(bytes([number] * (number + 5)))
    (tmp_path / "three" / "2.png").write_bytes(b"1234567")
    (tmp_path / "four" / "1.png").rename(tmp_path / "four" / "1b.png")
    others = samples_of(*(tmp_path / name for name in ("two", "three", "four")))
    found = shared_films(samples_of(tmp_path / "one"), others)
    assert [shared.held_out.name for shared in found] == ["two"]


def test_empty_and_absent_files_are_nobodys_copies(film: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    one = samples_of(tmp_path / "a.mp4", tmp_path / "gone.mp4")
    assert shared_films(one, samples_of(tmp_path / "b.mp4", tmp_path / "away.mp4")) == []


def test_many_are_counted_and_some_named(tmp_path: Path) -> None:
    films = []
    for number in range(8):
        films.append(tmp_path / f"{number}.mp4")
        films[-1].write_bytes(bytes([number]) * 10)
    line = describe_overlap(samples_of(*films), samples_of(*films), "test")
    assert line.startswith("8 of 8 videos of test")
    assert line.endswith("and 3 more")
