from __future__ import annotations

import csv
import errno
import gc
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from vidattn.errors import ArgumentError
from vidattn.files import (
    check_unused,
    write_bytes,
    write_csv,
    write_json,
    write_text,
    written_whole,
)


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "video.mp4"
    target.write_bytes(b"old")

    def write_half() -> None:
        with written_whole(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["video.mp4"]


def test_the_target_appears_only_at_the_end_and_keeps_its_suffix(tmp_path: Path) -> None:
    target = tmp_path / "new" / "video.mp4"
    with written_whole(target) as temporary:
        temporary.write_bytes(b"whole")
        assert temporary.suffix == ".mp4"
        assert temporary.parent == target.parent
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert os.listdir(target.parent) == ["video.mp4"]


def test_names_of_the_greatest_length_and_ordinary_permissions(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".png")
    write_bytes(target, b"x")
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_json_takes_numpy_and_unusual_text(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    value = {"a": np.float32(0.5), "b": np.arange(3), "ü": [np.bool_(True), None, ("x", 1)]}
    write_json(path, value)
    assert json.loads(path.read_text("utf-8")) == {
        "a": 0.5,
        "b": [0, 1, 2],
        "ü": [True, None, ["x", 1]],
    }
    name = os.fsdecode(b"caf\xe9.mp4")
    write_json(path, {"path": Path(name)})
    assert json.loads(path.read_bytes())["path"] == name


@pytest.mark.parametrize("bad", [float("nan"), np.array([1.0, np.inf]), {1, 2}, object()])
def test_json_refuses_what_json_has_not_and_names_the_place(tmp_path: Path, bad: object) -> None:
    with pytest.raises(ArgumentError, match=r"\$\.videos\[1\]\.score"):
        write_json(tmp_path / "x.json", {"videos": [{}, {"score": bad}]})
    assert os.listdir(tmp_path) == []


def test_csv_cells_cannot_be_formulas(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", 'plain, "quoted"', "line\nbreak"]
    write_csv(path, ["text", "number"], [(text, -0.5) for text in texts])
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "number"]
    assert [row[0] for row in rows] == ["'" + text for text in texts[:5]] + texts[5:]
    assert {row[1] for row in rows} == {"-0.5"}


def test_csv_refuses_ragged_rows_and_nan(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="row 2"):
        write_csv(tmp_path / "x.csv", ["a"], [[1], [1, 2]])
    with pytest.raises(ArgumentError, match="finite"):
        write_csv(tmp_path / "x.csv", ["a"], [[float("nan")]])
    assert os.listdir(tmp_path) == []


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "ä\r\nb\n")
    assert (tmp_path / "x.txt").read_bytes() == "ä\r\nb\n".encode()


@pytest.mark.parametrize("suffix", ["." + "s" * 200, ".mp4", ""])
def test_temporary_names_fit_wherever_the_name_itself_does(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    with written_whole(target) as temporary:
        assert len(os.fsencode(temporary.name)) <= 64
        temporary.write_bytes(b"x")
    assert os.listdir(tmp_path) == [target.name]


needs_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no device that is always full"
)


@needs_full_device
@pytest.mark.parametrize("write", [write_bytes, write_text, write_json])
def test_a_full_disk_is_told_with_the_name_of_the_file(write, tmp_path: Path) -> None:
    link = tmp_path / "result.json"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        write(link, b"x" if write is write_bytes else "x")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(link))
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert os.listdir(tmp_path) == ["result.json"]


@needs_full_device
# NumPy before 2 leaves its archive open when writing fails; the interpreter remarks on it later.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("library", ["torch", "numpy", "numpy, compressed"])
def test_what_a_library_makes_of_a_full_disk_names_the_file_too(
    library: str, tmp_path: Path
) -> None:
    def write() -> None:
        with written_whole(tmp_path / "x.bin"), open("/dev/full", "wb") as file:
            if library == "torch":
                torch.save({"weight": torch.zeros(300_000)}, file)
            elif library == "numpy":
                np.savez(file, weight=np.zeros(300_000))
            else:
                np.savez_compressed(file, weight=np.random.default_rng(0).random(300_000))

    with pytest.raises(OSError, match="No space left on device") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "x.bin")
    assert os.listdir(tmp_path) == []
    del caught
    gc.collect()  # so that it is remarked on here


def test_errors_of_ours_and_of_programs_stay_what_they_are(tmp_path: Path) -> None:
    for error in (ArgumentError("x"), RuntimeError("y"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, written_whole(tmp_path / "x"):
            raise error
        assert caught.value is error


def test_a_folder_that_is_a_file_names_what_was_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "taken" / "x.txt", "x")
    assert caught.value.filename == str(tmp_path / "taken" / "x.txt")


def test_devices_and_links_stay_what_they_are(tmp_path: Path) -> None:
    write_text("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "elsewhere" / "real.txt")
    write_text(link, "x")
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "real.txt").read_text() == "x"


def test_a_file_that_is_there_is_refused_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "thesis.json"
    check_unused(path, overwrite=False)
    path.write_text("three months of work")
    with pytest.raises(ArgumentError, match=r"thesis\.json.*--overwrite"):
        check_unused(path, overwrite=False)
    check_unused(path, overwrite=True)
    check_unused("/dev/null", overwrite=False)
    for overwrite in (False, True):
        with pytest.raises(ArgumentError, match="folder"):
            check_unused(tmp_path, overwrite=overwrite)
