"""A disk or a network that fails is told from a file that is broken."""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import InputOutputError, NotAVideoError, VideoNotFoundError
from vidattn.runs import schedule
from vidattn.video import open_video


def raising(error: Exception) -> Callable[..., Any]:
    def raise_it(*arguments: object, **settings: object) -> Any:
        raise error

    return raise_it


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENETDOWN])
def test_what_the_system_says_of_a_disk_blames_no_video(
    number: int, write_flash: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_flash(frame_count=5)
    error = OSError(number, os.strerror(number), str(film))
    with monkeypatch.context() as patch:
        patch.setattr(av, "open", raising(error))
        with pytest.raises(InputOutputError, match=os.strerror(number)):
            open_video(film)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", raising(error))
        with pytest.raises(InputOutputError, match="cannot be reached"):
            open_video(film)


def test_a_missing_or_forbidden_file_is_the_videos_fault(
    write_flash: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_flash(frame_count=5)
    monkeypatch.setattr(Path, "open", raising(PermissionError(errno.EACCES, "denied", str(film))))
    with pytest.raises(VideoNotFoundError, match="cannot be read: denied"):
        open_video(film)
    with pytest.raises(VideoNotFoundError):
        open_video(film.with_name("absent.mp4"))


def test_ffmpegs_word_for_a_file_that_is_cut_off_is_checked_by_reading_it(
    write_flash: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_flash(frame_count=5)
    monkeypatch.setattr(av, "open", raising(av.error.OSError(errno.EIO, "Input/output error")))
    with pytest.raises(NotAVideoError, match="Input/output error"):
        open_video(film)
    plain = builtins.open

    def failing(file: Any, *arguments: Any, **settings: Any) -> Any:
        if str(file) == str(film):
            raise OSError(errno.EIO, "Input/output error", str(file))
        return plain(file, *arguments, **settings)

    monkeypatch.setattr(builtins, "open", failing)
    with pytest.raises(InputOutputError):
        open_video(film)


def test_videos_are_left_undone_and_tried_again_by_the_same_command(
    class_folders: Path,
    untrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(schedule, "PAUSES_SECONDS", (0.01, 0.02))
    opened = av.open
    counts: list[str] = []

    def unsteady(file: Any, *arguments: Any, **settings: Any) -> Any:
        if Path(str(file)).name == "1.mp4":
            counts.append(str(file))
            raise OSError(errno.EIO, "Input/output error", str(file))
        return opened(file, *arguments, **settings)

    given = ["--output", str(tmp_path / "out"), "--processes", "0"]
    line = ["evaluate", str(untrained), "--data", str(class_folders), "--batch-size", "2", *given]
    with monkeypatch.context() as patch:
        patch.setattr(av, "open", unsteady)
        assert main(line) == 1
    assert len(counts) == 2 * 3  # two such films, three attempts each
    [said] = [each for each in capsys.readouterr().err.splitlines() if each.startswith("vidattn: ")]
    assert "4 of 7 videos are left undone" in said  # each with the other one of its batch
    assert "1.mp4: cannot be read: Input/output error" in said
    assert not (tmp_path / "out" / "evaluation.json").exists()
    assert main(line) == 1  # for the broken video
    whole = vidattn.evaluate(untrained, class_folders, batch_size=2, processes=0, progress=False)
    assert whole is not None
    found = vidattn.jobs.compare(tmp_path / "out" / "evaluation.json", _written(whole, tmp_path))
    assert found.difference == 0
    assert found.videos == 6


def _written(found: Any, folder: Path) -> Path:
    from vidattn.files import write_json

    write_json(folder / "whole.json", found.to_json())
    return folder / "whole.json"
