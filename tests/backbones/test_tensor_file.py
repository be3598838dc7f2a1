"""What people give for a checkpoint: each is named in a line of ours, and nothing in it runs."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vidattn.backbones.tensor_file import read_tensor_file
from vidattn.cli.entry import main
from vidattn.errors import CheckpointError
from vidattn.video import VideoWriter


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


def video(path: Path) -> None:
    with VideoWriter(path.with_suffix(".mp4"), fps=25, size=(64, 64)) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    path.with_suffix(".mp4").rename(path)


def cut(path: Path, *, share: float = 0.5, zipped: bool = True) -> None:
    torch.save({"a": torch.zeros(5000)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def holed(path: Path) -> None:
    torch.save({"a": torch.zeros(5000)}, path)
    content = bytearray(path.read_bytes())
    content[60:160] = bytes(100)
    path.write_bytes(content)


def numpy_file(path: Path, write: Callable[..., None]) -> None:
    with path.open("wb") as file:
        write(file, np.zeros(3))


def safetensors(path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "file.py")


MAKERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "video": (video, "got a video"),
    "PNG": (lambda path: Image.new("RGB", (9, 9)).save(path, "PNG"), "got an image"),
    "JPEG": (lambda path: Image.new("RGB", (9, 9)).save(path, "JPEG"), "got an image"),
    "text": (lambda path: path.write_text("accuracy: 77.0\n" * 9), "got text"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "cut": (cut, "cut off or damaged"),
    "cut, old form": (lambda path: cut(path, zipped=False), "cut off or damaged"),
    "cut after few bytes": (lambda path: cut(path, share=0.001), "cut off or damaged"),
    "a hole": (holed, "cut off or damaged"),
    "noise": (lambda path: path.write_bytes(bytes(range(200, 256)) * 99), "cut off or damaged"),
    "pickled code": (lambda path: path.write_bytes(pickle.dumps(Bomb())), "torch did not write"),
    "code": (lambda path: torch.save({"state_dict": Bomb()}, path), "system"),
    "arguments": (
        lambda path: torch.save({"state_dict": {}, "args": argparse.Namespace()}, path),
        "refused: it holds Python objects besides tensors and plain values (argparse.Namespace)",
    ),
    "a whole module": (lambda path: torch.save(torch.nn.Linear(2, 2), path), "Linear"),
    "safetensors": (safetensors, "safetensors.torch.load_file"),
    "web page": (lambda path: path.write_text("\n<!DOCTYPE html><html>404</html>"), "a web page"),
    "Git LFS": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\nsize 12\n"),
        "git lfs pull",
    ),
    "NumPy": (lambda path: numpy_file(path, np.save), "a NumPy array"),
    "NumPy archive": (lambda path: numpy_file(path, np.savez), "a ZIP archive"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x" * 99)), "unpack it first"),
    "tar": (tar, "unpack it first"),
    "folder": (lambda path: path.mkdir(), "a folder, not a file"),
    "nothing": (lambda path: None, "no such"),
}
ADVICE = ("weights_only", "pickle_module", "add_safe_globals", "trust", "pip install", "issue")


@pytest.mark.parametrize("kind", MAKERS)
def test_each_is_named_in_one_line_without_foreign_advice(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, words = MAKERS[kind]
    monkeypatch.chdir(tmp_path)
    make(Path("model.ckpt"))
    with pytest.raises(CheckpointError) as caught:
        read_tensor_file("model.ckpt")
    line = str(caught.value)
    assert line.startswith("model.ckpt: ")
    assert words in line
    assert "\n" not in line
    assert not [word for word in ADVICE if word in line]
    assert not Path("exploded").exists()


COMMANDS = {
    "evaluate": ["evaluate", "model.ckpt", "--data", "x.csv"],
    "show": ["show", "model.ckpt"],
    "explain": ["explain", "x.mp4", "--checkpoint", "model.ckpt"],
    "keyframes": ["keyframes", "x.mp4", "--checkpoint", "model.ckpt", "--output", "out"],
    "features": ["features", "model.ckpt", "--data", "x.mp4", "--output", "out"],
    "convert": ["convert", "model.ckpt", "--backbone", "r3d_18", "--output", "other.ckpt"],
}


@pytest.mark.parametrize("kind", ["video", "arguments", "cut", "empty", "safetensors"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_the_same(
    command: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make, words = MAKERS[kind]
    monkeypatch.chdir(tmp_path)
    video(Path("x.mp4"))
    make(Path("model.ckpt"))
    assert main(COMMANDS[command]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidattn: ")
    assert "model.ckpt: " in error
    assert words in error
    assert error.count("\n") == 1
