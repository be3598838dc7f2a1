from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from vidattn import backbones
from vidattn.backbones.conversion.convert import layout
from vidattn.cli.entry import main
from vidattn.data import ClipSpec
from vidattn.errors import CheckpointError
from vidattn.jobs import convert, show
from vidattn.models import InsertionSpec, Recogniser, RecogniserSpec, save
from vidattn.models.checkpoint import KEY, describe
from vidattn.sampling.protocols import protocol_names

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}


def recogniser() -> Recogniser:
    spec = RecogniserSpec(
        classes=tuple(f"class {number}" for number in range(12)),
        backbone_settings=SLIM,
        attention=(InsertionSpec("squeeze_excitation", "layer1", settings={"reduction": 2}),),
    )
    return Recogniser(spec)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    clip = ClipSpec(frames=16, frame_stride=4, short_side=256, crop_size=224)
    save(tmp_path / "model.ckpt", recogniser(), clip)
    return tmp_path / "model.ckpt"


def test_what_a_checkpoint_is(own: Path) -> None:
    found = show(own)
    network = recogniser()
    assert found.provenance == "saved"
    assert found.digest == sha256(own.read_bytes()).hexdigest()
    assert found.parameters == sum(each.numel() for each in network.parameters())
    assert found.classes == network.spec.classes
    assert (found.backbone, found.pooling) == ("slim", "joint")
    assert found.attention[0]["mechanism"] == "squeeze_excitation"
    assert found.clip is not None
    assert (found.clip["frames"], found.clip["crop_size"]) == (16, 224)
    assert found.not_finite == ()
    assert found.protocols is not None
    assert list(found.protocols) == protocol_names()
    assert found.protocols["pyslowfast-10x3"] == []
    assert "1 frame a clip" in found.protocols["tsn-25x10"][0]


def test_the_command_and_its_json(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(own)]) == 0
    text = capsys.readouterr().out
    for words in (
        "12: class 0, class 1",
        "class 7 and 4 more",
        "squeeze_excitation, after layer1",
        "16 frames, one of 4 of the video's own",
        "shorter side 256, crop of 224",
        "all finite",
    ):
        assert words in text
    assert main(["show", str(own), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["classes"]) == 12
    assert record["finite"] is True


def test_weights_that_are_not_finite_are_named(own: Path) -> None:
    content = torch.load(own, weights_only=True)
    content["state_dict"]["recogniser.head.bias"][3] = float("nan")
    torch.save(content, own)
    assert show(own).not_finite == ("head.bias",)
    assert show(own).to_json()["finite"] is False


def test_a_trainers_own_file_and_one_that_does_not_fit(own: Path) -> None:
    content = torch.load(own, weights_only=True)
    torch.save({**content, "epoch": 3, "global_step": 120, "pytorch-lightning_version": "2"}, own)
    assert (show(own).provenance, show(own).summary) == ("trained", "trained by vidattn, 120 steps")
    content["state_dict"].pop("recogniser.head.bias")
    torch.save(content, own)
    with pytest.raises(CheckpointError, match=r"do not fit .*head\.bias"):
        show(own)


def test_a_class_of_somebody_elses_is_not_run(own: Path) -> None:
    content = torch.load(own, weights_only=True)
    spec = RecogniserSpec(classes=("a", "b"), backbone="antigravity.Network")
    content[KEY] = describe(spec, ClipSpec())
    torch.save(content, own)
    found = show(own)
    assert (found.backbone, found.classes) == ("antigravity.Network", ("a", "b"))
    assert "allow=['antigravity.Network']" in found.hint
    assert "antigravity" not in sys.modules


def test_no_trainer_is_imported(own: Path) -> None:
    code = (
        "import sys, vidattn; vidattn.show(sys.argv[1]); "
        "assert not any('lightning' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, own], check=True)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torchvision's names."""
    path = tmp_path_factory.mktemp("foreign") / "r3d.pth"
    network = backbones.build("r3d_18", classes=7).source_network
    torch.save({"model": network.state_dict()}, path)
    return path


def test_another_projects_file_and_what_becomes_of_it(foreign: Path, tmp_path: Path) -> None:
    found = show(foreign)
    assert (found.provenance, found.layout) == ("other", "torchvision")
    assert found.networks == ("r3d_18",)
    assert found.hint == f"vidattn convert {foreign} --backbone r3d_18 --output FILE"
    convert(foreign, backbone="r3d_18", output=tmp_path / "own.ckpt")
    own = show(tmp_path / "own.ckpt")
    assert (own.provenance, own.layout, own.pooling) == ("converted", "torchvision", "source")
    assert "from torchvision" in own.summary
    assert "--protocol torchvision-5" in own.hint
    # Converting it once more would lose its classes.
    with pytest.raises(CheckpointError, match=r"own\.ckpt: a vidattn checkpoint already"):
        convert(tmp_path / "own.ckpt", backbone="r3d_18", output=tmp_path / "again.ckpt")
    assert own.figure == layout("torchvision").networks["r3d_18"].figure


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "FILE", "--data", "x.csv"],
        ["explain", "x.mp4", "--checkpoint", "FILE"],
        ["keyframes", "x.mp4", "--checkpoint", "FILE", "--output", "out"],
    ],
)
def test_commands_that_want_our_own_say_how_to_convert(
    command: list[str], foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(foreign) if word == "FILE" else word for word in command]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"vidattn convert {foreign} --backbone NAME" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": {"odd.weight": torch.zeros(3)}}, "not known here (odd.weight"),
        (torch.zeros(3), "expected a state dict, got Tensor"),
        ({"epoch": 3}, "expected names with tensors"),
    ],
)
def test_files_that_torch_wrote_and_nobody_knows(
    content: object, words: str, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "odd.pth")
    found = show(tmp_path / "odd.pth")
    assert (found.provenance, found.hint) == ("other", "")
    assert words in found.summary
