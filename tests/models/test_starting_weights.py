"""What a recogniser takes over from another one's checkpoint, tensor by tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vidattn import backbones
from vidattn.backbones.pretrained import WeightsMismatchError
from vidattn.data import ClipSpec
from vidattn.errors import CheckpointError
from vidattn.models import InsertionSpec, Recogniser, RecogniserSpec, save
from vidattn.models.starting_weights import start_recogniser

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}
GATE = InsertionSpec("squeeze_excitation", "stem", settings={"reduction": 2})
SPEC = RecogniserSpec(
    classes=("jump", "run", "walk"),
    backbone_settings=SLIM,
    attention=(GATE,),
    pooling_settings={"hidden_channels": 4},
)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint whose every tensor is filled with numbers of its own."""
    return written(tmp_path, SPEC)


def written(folder: Path, spec: RecogniserSpec) -> tuple[Path, dict[str, torch.Tensor]]:
    recogniser = Recogniser(spec)
    with torch.no_grad():
        for value in recogniser.state_dict().values():
            value.copy_(torch.randint(1, 1000, value.shape).to(value.dtype))
    save(folder / "own.ckpt", recogniser, ClipSpec())
    return folder / "own.ckpt", {n: v.clone() for n, v in recogniser.state_dict().items()}


def same(found: dict, given: dict, *beginnings: str, but: tuple[str, ...] = ()) -> bool:
    names = [n for n in found if n.startswith(beginnings or ("",)) and not n.startswith(but or "-")]
    assert names
    return all(torch.equal(found[name], given[name]) for name in names)


def test_the_same_recogniser_takes_over_everything(trained) -> None:
    path, state = trained
    recogniser, report = start_recogniser(SPEC, weights=path)
    assert same(recogniser.state_dict(), state)
    assert str(report) == f"{path}: {len(state)} of {len(state)} tensors loaded"


def test_rows_of_the_head_go_by_name(trained) -> None:
    path, state = trained
    spec = replace(SPEC, classes=("walk", "zoom", "jump"))
    recogniser, report = start_recogniser(spec, weights=path)
    found = recogniser.state_dict()
    assert same(found, state, but=("head.",))
    for name in ("head.weight", "head.bias"):
        assert torch.equal(found[name][0], state[name][2])
        assert torch.equal(found[name][2], state[name][0])
        assert found[name][1].abs().max() < 1  # as it was initialised
    assert "head: classes differ, kept walk, jump; new: rows of the head for zoom" in str(report)


def test_a_head_of_other_classes_is_new(trained) -> None:
    path, state = trained
    recogniser, report = start_recogniser(replace(SPEC, classes=("on", "off")), weights=path)
    assert same(recogniser.state_dict(), state, but=("head.",))
    assert recogniser.head.weight.abs().max() < 1
    assert str(report).endswith(f"{len(state) - 2} of {len(state)} tensors loaded; new: head")


def test_further_attention_is_new(trained) -> None:
    path, state = trained
    more = InsertionSpec("self_attention", "layer1", scope="time")
    recogniser, report = start_recogniser(replace(SPEC, attention=(GATE, more)), weights=path)
    found = recogniser.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert report.new == ("self_attention at layer1",)
    assert report.loaded == len(state) < report.total


def test_another_pooling_is_new(trained) -> None:
    path, state = trained
    changes = (
        {"pooling": "factorised"},
        {"pooling": "average", "pooling_settings": {}},
        {"pooling_settings": {"hidden_channels": 8}},
    )
    for change in changes:
        recogniser, report = start_recogniser(replace(SPEC, **change), weights=path)
        found = recogniser.state_dict()
        assert same(found, state, "backbone.", "head.")
        assert "pooling" in (*report.new, *report.left)
        assert not any(
            torch.equal(value, state[name])
            for name, value in found.items()
            if name.startswith("pooling.") and name in state and value.shape == state[name].shape
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attention": ()}, "unexpected"),
        ({"backbone_settings": {**SLIM, "widths": [4, 6]}}, "of another shape"),
        ({"backbone_settings": {**SLIM, "widths": [4, 8, 8], "spatial_strides": [2, 2, 1],
                                "temporal_strides": [1, 1, 1]}}, "missing"),
        ({"attention": (replace(GATE, settings={"reduction": 4}),)}, "of another shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(trained, change: dict, said: str) -> None:
    path, _ = trained
    with pytest.raises(WeightsMismatchError, match=said) as caught:
        start_recogniser(replace(SPEC, **change), weights=path)
    assert "squeeze_excitation at stem" in str(caught.value)
    assert "backbone." in str(caught.value)


def test_another_backbone_is_refused(trained) -> None:
    path, _ = trained
    with pytest.raises(CheckpointError, match=r"own\.ckpt: .*backbone slim, .*backbone is r3d_18"):
        start_recogniser(RecogniserSpec(("a", "b"), backbone="r3d_18"), weights=path)


def test_settings_that_fit_and_differ_are_said(trained) -> None:
    path, _ = trained
    spec = replace(SPEC, backbone_settings={**SLIM, "temporal_strides": [1, 2]})
    _, report = start_recogniser(spec, weights=path)
    assert "model.backbone_settings.temporal_strides [1, 2], there [1, 1]" in str(report)


def test_a_source_head_goes_by_name_and_makes_room_for_pooling(tmp_path: Path) -> None:
    spec = RecogniserSpec(("a", "b", "c"), backbone="x3d_xs", pooling="source")
    path, state = written(tmp_path, spec)
    recogniser, report = start_recogniser(replace(spec, classes=("c", "d")), weights=path)
    found = recogniser.state_dict()
    rows = [name for name in found if found[name].shape != state[name].shape]
    assert rows
    assert all(torch.equal(found[name][0], state[name][2]) for name in rows)
    assert all(torch.equal(found[name], state[name]) for name in found if name not in rows)
    pooled = RecogniserSpec(("a", "b"), backbone="x3d_xs")
    recogniser, report = start_recogniser(pooled, weights=path)
    assert same(recogniser.state_dict(), state, "backbone.")
    assert report.new == ("head", "pooling")


def test_a_backbone_alone_takes_its_part(trained) -> None:
    path, state = trained
    with pytest.raises(WeightsMismatchError, match="unexpected"):  # the gate has no place in it
        backbones.build("slim", weights=path, **SLIM)
    plain = replace(SPEC, attention=())
    path, state = written(path.parent, plain)
    backbone = backbones.build("slim", weights=path, **SLIM)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, state[f"backbone.{name}"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(trained, tmp_path: Path, value: float) -> None:
    path, _ = trained
    content = torch.load(path, weights_only=True)
    content["state_dict"]["recogniser.head.bias"][1] = value
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"own\.ckpt: 1 tensors hold NaN .*\(head\.bias\)"):
        start_recogniser(SPEC, weights=path)
    backbone = backbones.build("slim", **SLIM)
    plain = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    next(iter(plain.values())).view(-1)[0] = value
    torch.save(plain, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match=r"plain\.pth: 1 tensors hold NaN"):
        start_recogniser(replace(SPEC, attention=()), weights=str(tmp_path / "plain.pth"))
