from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vidattn import backbones, models
from vidattn.cli.entry import main
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.jobs import convert


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = backbones.build("x3d_xs", classes=3).source_network
    torch.save({"model_state": network.state_dict()}, tmp_path / "X3D_XS.pyth")
    return tmp_path / "X3D_XS.pyth"


def test_a_converted_file_gives_the_sources_logits(theirs: Path, tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("archery\nbowling\ncurling\n")
    found = convert(theirs, backbone="x3d_xs", classes=names, output=tmp_path / "model.ckpt")
    assert (found.layout, found.protocol) == ("pytorchvideo", "pyslowfast-10x3")
    loaded = models.load(tmp_path / "model.ckpt")
    assert loaded.classes == ("archery", "bowling", "curling")
    assert loaded.clip == found.clip
    assert (loaded.clip.frames, loaded.clip.frame_stride) == (4, 12)
    source = backbones.build("x3d_xs", classes=3).eval()
    source.source_network.load_state_dict(torch.load(theirs)["model_state"])
    clip = torch.randn(1, 3, 4, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.recogniser(clip).logits, source.logits(clip))


def test_from_the_command_line(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.ckpt"
    line = ["convert", str(theirs), "--backbone", "x3d_xs", "--output", str(output)]
    assert main([*line, "--frames", "8", "--frame-stride", "6", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["classes"] == ["class 0", "class 1", "class 2"]
    assert (record["clip"]["frames"], record["clip"]["frame_stride"]) == (8, 6)
    assert models.load(output).clip.frames == 8
    assert main([*line, "--layout", "mmaction2"]) == 1
    assert "x3d_xs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\nb\n", "the head has 3, got 2"), ("a\n\nb\n", ":2: .*empty line"),
     ("a\nb\na\n", ":3: 'a' is already on line 1"), ("\n", "empty file"),
     (b"\xff\xfea", "not UTF-8")],
)  # fmt: skip
def test_class_files_that_cannot_be_used_are_named(
    theirs: Path, tmp_path: Path, text: str | bytes, message: str
) -> None:
    names = tmp_path / "classes.txt"
    names.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((AnnotationError, ArgumentError), match=message):
        convert(theirs, backbone="x3d_xs", classes=names, output=tmp_path / "model.ckpt")
    assert not (tmp_path / "model.ckpt").exists()
