from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import vidattn
from vidattn.data import read_annotations
from vidattn.errors import ArgumentError
from vidattn.jobs.evaluation_folder import refuse_folder_among_classes
from vidattn.models import LoadedRecogniser


@pytest.mark.parametrize("place", ["result", "bright/result", "a/b", "../videos/result"])
def test_a_folder_among_the_classes_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "videos"
    (data / "bright").mkdir(parents=True)
    with pytest.raises(ArgumentError, match=r"^output: .*would be read as.*another --output"):
        refuse_folder_among_classes(data / place, data)
    monkeypatch.chdir(data)
    with pytest.raises(ArgumentError, match="would be read as"):
        refuse_folder_among_classes(Path("evaluation"), ".")
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(ArgumentError, match="would be read as"):
        refuse_folder_among_classes(tmp_path / "link" / place, data)
    assert list(data.iterdir()) == [data / "bright"]


@pytest.mark.parametrize("place", ["videos", "videos/.results/a", "videos2", "result"])
def test_other_folders_are_not(place: str, tmp_path: Path) -> None:
    (tmp_path / "videos" / "bright").mkdir(parents=True)
    refuse_folder_among_classes(tmp_path / place, tmp_path / "videos")


def test_lists_and_samples_have_no_class_folders(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.mp4 bright\n")
    refuse_folder_among_classes(tmp_path / "result", tmp_path / "list.txt")
    refuse_folder_among_classes(tmp_path / "result", [])
    refuse_folder_among_classes(None, tmp_path)


def test_what_is_evaluated_stays_what_it_is(
    write_flash: Callable[..., Path], loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    for label in ("bright", "dark"):
        write_flash(f"videos/{label}/0.mp4", frame_count=16)
    data = tmp_path / "videos"
    before = read_annotations(data)
    with pytest.raises(ArgumentError, match="would be read as"):
        vidattn.evaluate(loaded_brightness, data, output=data / "result", progress=False)
    vidattn.evaluate(loaded_brightness, data, output=data, progress=False)
    vidattn.evaluate(loaded_brightness, data, output=data / ".result", progress=False)
    assert (data / "evaluation.json").is_file()
    assert read_annotations(data) == before
