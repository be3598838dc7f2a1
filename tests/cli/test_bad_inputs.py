"""What a stranger's files may be: each ends in one line that names it, and nothing is written."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vidattn.cli.entry import main
from vidattn.data import ClipSpec
from vidattn.models import Recogniser, RecogniserSpec, save


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 4096), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


MAKERS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello " * 200),
    "sound only": sound_only,
    "playlist": lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"),
    "list of files": lambda path: path.write_text("ffconcat version 1.0\nfile /etc/passwd\n"),
    "huge header": lambda path: path.write_bytes(b"YUV4MPEG2 W90000 H90000 F25:1\nFRAME\n"),
    "a folder without images": lambda path: path.mkdir(),
    "a pipe that nobody writes": lambda path: os.mkfifo(path),
}


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.lstrip("\n")  # a progress bar leaves an empty line
    assert error.startswith("vidattn: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("kind", MAKERS)
def test_files_that_are_no_videos(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, output = tmp_path / "film.mp4", tmp_path / "out"
    MAKERS[kind](video)
    assert main(["keyframes", str(video), "--output", str(output)]) == 1
    assert "film.mp4" in one_line(capsys)
    assert not output.exists()


@pytest.mark.parametrize(
    "path", ["concat:a.mp4|b.mp4", "subfile:,,a", "data:,abc", "pipe:0", "http://localhost/a.mp4"]
)
def test_paths_that_are_protocols(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keyframes", path, "--output", str(tmp_path / "out")]) == 1
    assert path in one_line(capsys)


def test_a_path_like_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["keyframes", "--output", str(tmp_path / "out"), "--", "-rf.mp4"]
    assert main(arguments) == 1
    assert "-rf.mp4" in one_line(capsys)


def test_a_cut_file_is_recorded_and_the_others_go_on(
    write_flash: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_flash("whole.mp4")
    cut = tmp_path / "cut.mp4"
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    output = tmp_path / "out"
    assert main(["keyframes", str(cut), str(whole), "--output", str(output)]) == 1
    assert "cut.mp4" in one_line(capsys)
    assert (output / "whole" / "contact_sheet.jpg").is_file()
    assert not (output / "cut").exists()


@pytest.mark.parametrize("row", ["../../secret.mp4", "/etc/passwd", "a\0b.mp4"])
def test_annotations_that_lead_out_of_their_folder(
    row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    listed = root / "clips.csv"
    listed.write_text(f"path,label\n{row},dark\n")
    checkpoint = tmp_path / "model.ckpt"
    save_slim(checkpoint)
    output = tmp_path / "out"
    arguments = ["evaluate", str(checkpoint), "--data", str(listed), "--output", str(output)]
    assert main(arguments) == 1
    error = one_line(capsys)
    assert "clips.csv" in error
    assert "2" in error
    assert not output.exists()


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_checkpoint_that_would_run_code(
    form: str,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = Path("model.ckpt")
    if form == "pickle":
        checkpoint.write_bytes(pickle.dumps(Bomb()))
    else:
        torch.save({"state_dict": Bomb()}, checkpoint)
    film = str(write_flash())
    assert main(["explain", film, "--checkpoint", str(checkpoint), "--output", "out"]) == 1
    assert "model.ckpt" in one_line(capsys)
    assert not Path("exploded").exists()
    assert not Path("out").exists()


def save_slim(path: Path) -> None:
    settings = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}
    spec = RecogniserSpec(classes=("dark", "bright"), backbone_settings=settings)
    save(path, Recogniser(spec), ClipSpec(frames=4, short_side=32, crop_size=32))
