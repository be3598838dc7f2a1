from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError, CheckpointError
from vidattn.models import InsertionSpec, Recogniser, RecogniserSpec, load, save
from vidattn.models.checkpoint import KEY

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}


@pytest.fixture
def recogniser() -> Recogniser:
    torch.manual_seed(0)
    spec = RecogniserSpec(
        classes=("a", "b"),
        backbone_settings=SLIM,
        attention=(InsertionSpec("squeeze_excitation", "layer1", settings={"reduction": 2}),),
    )
    return Recogniser(spec).eval()


def test_a_checkpoint_is_self_contained(recogniser: Recogniser, tmp_path: Path) -> None:
    clip = ClipSpec(frames=8, short_side=40, crop_size=32)
    save(tmp_path / "model.ckpt", recogniser, clip)
    found = load(tmp_path / "model.ckpt")
    assert found.clip == clip
    assert found.classes == ("a", "b")
    assert not found.recogniser.training
    pixels = torch.randn(1, 3, 8, 32, 32)
    expected = recogniser(pixels)[:4]
    for ours, theirs in zip(found.recogniser(pixels)[:4], expected, strict=True):
        assert torch.equal(ours, theirs)


def test_loading_needs_no_trainer(recogniser: Recogniser, tmp_path: Path) -> None:
    save(tmp_path / "model.ckpt", recogniser, ClipSpec())
    code = (
        "import sys, vidattn; vidattn.load(sys.argv[1]); "
        "assert not any('lightning' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model.ckpt"], check=True)


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code ran')",)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.ckpt"
    with path.open("wb") as file:
        pickle.dump({KEY: "{}", "state_dict": Exploit()}, file)
    with pytest.raises(CheckpointError, match=r"evil\.ckpt"):
        load(path)
    torch.save({KEY: "{}", "state_dict": Exploit()}, path)
    with pytest.raises(CheckpointError, match=r"evil\.ckpt"):
        load(path)


def test_a_class_path_in_a_checkpoint_is_not_followed(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.ckpt"
    save(path, recogniser, ClipSpec())
    content = torch.load(path, weights_only=True)
    description = json.loads(content[KEY])
    description["spec"]["backbone"] = "shutil.rmtree"
    torch.save({**content, KEY: json.dumps(description)}, path)
    with pytest.raises(ArgumentError, match="must be allowed"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"PK\x03\x04broken"],
    ids=["empty", "text", "broken archive"],
)
def test_other_files_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.ckpt"):
        load(path)


def test_a_checkpoint_of_something_else_is_refused(recogniser: Recogniser, tmp_path: Path) -> None:
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": recogniser.state_dict()}, path)
    with pytest.raises(CheckpointError, match="not a vidattn checkpoint"):
        load(path)
    save(path, recogniser, ClipSpec())
    content = torch.load(path, weights_only=True)
    content["state_dict"].popitem()
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="do not fit"):
        load(path)
    torch.save({**content, KEY: "[]"}, path)
    with pytest.raises(CheckpointError, match="not a vidattn checkpoint"):
        load(path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load(tmp_path / "absent.ckpt")


def test_weights_that_do_not_fit_are_said_in_one_line(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    path = tmp_path / "model.ckpt"
    save(path, recogniser, ClipSpec())
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {}
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert "head.weight" in str(caught.value)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_named(
    device: str, recogniser: Recogniser, tmp_path: Path
) -> None:
    path = tmp_path / "model.ckpt"
    save(path, recogniser, ClipSpec())
    with pytest.raises(ArgumentError, match=f"device: '{device}'"):
        load(path, device=device)
