"""A disk that takes no more is one line that names the file, from every command, and no half file.

A limit on the size of files stands for the full disk: the system refuses a write in its middle.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.cli.test_bad_inputs import save_slim
from vidattn.backbones import build
from vidattn.cli.entry import main

REFUSED = {
    "keyframes noise.mp4 --output out --count 1 --processes 0": "out/noise/frame_",
    "explain noise.mp4 --checkpoint untrained.ckpt --output out": "out/overlay.mp4",
    "features untrained.ckpt --data noise.mp4 --output out --processes 0": "out/noise.npz",
    "evaluate untrained.ckpt --data videos --output out --processes 0": "out/",
    "index noise.mp4 --report out.json --processes 0": ".vidattn-run-out.json/",
    "convert theirs.pth --backbone x3d_xs --output out.ckpt": "out.ckpt",
    "score recognition p.csv t.csv --output out.json": "out.json",
    "score recognition p.csv t.csv --confusion out.csv": "out.csv",
}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def work(tmp_path: Path, write_flash: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path
    save_slim(folder / "untrained.ckpt")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VIDATTN_CACHE", str(folder / "cache"))
    write_flash("noise.mp4", frame_count=60)
    for label in ("bright", "dark"):
        write_flash(f"videos/{label}/0.mp4", frame_count=9)
    rows = "".join(f"video{number},class{number}\n" for number in range(200))
    for name in ("p.csv", "t.csv"):
        Path(name).write_text("video,label\n" + rows)
    return folder


@pytest.mark.parametrize("line", REFUSED)
def test_one_line_that_names_the_file(
    line: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if line.startswith("convert"):
        state = build("x3d_xs", classes=3).source_network.state_dict()
        torch.save({"model_state": state}, "theirs.pth")
    before = set(os.listdir())
    with files_of_at_most(100 if line.startswith("index") else 1200):
        assert main(line.split()) == 1
    captured = capsys.readouterr()
    [error] = [text for text in captured.err.splitlines() if text.startswith("vidattn: ")]
    assert error.startswith(f"vidattn: {REFUSED[line]}")
    assert error.endswith(": File too large")
    assert "Traceback" not in captured.err
    assert set(os.listdir()) - before <= {"out", "cache", ".vidattn-run-out.json"}
    assert not list(work.rglob(".partial-*"))
    if Path("out").exists():
        assert os.listdir("out") == [".vidattn-run"]  # the same command goes on
