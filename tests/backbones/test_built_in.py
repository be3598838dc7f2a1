"""What every built-in with a source must fulfil."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidattn import backbones
from vidattn.errors import ArgumentError, UnknownNameError

TRANSFORMERS = ("mvit_", "swin3d_", "videomae_")  # in their own file
WITH_SOURCE = [
    name
    for name in backbones.names()
    if name not in ("slim", "tsm_r50", "r2plus1d_34", "efficientnet_lite0")
    and not name.startswith(TRANSFORMERS)
]
SOFTMAX = ("r2plus1d_r50", "x3d_xs", "x3d_s", "x3d_m")


@pytest.fixture(scope="module", params=WITH_SOURCE)
def pair(request, source_network):
    """A built-in and the source's own network with the same weights."""
    name = request.param
    source = source_network(name, 7)
    backbone = backbones.build(name, classes=7).eval()
    backbone.network.load_state_dict(source.state_dict())  # strict: the names are the source's
    return name, backbone, source


def pathways(clip):
    return [clip[:, :, ::4], clip]


def source_logits(name, source, clip):
    """The source network's own answer, with its fixed pooling windows cut to the features."""
    if name.endswith("_2d"):
        frames = clip.transpose(1, 2)
        return torch.stack([source(clip_frames) for clip_frames in frames]).mean(1)
    return source(pathways(clip) if name == "slowfast_r50" else clip)


def cut_pooling(network, features, slow_frames):
    """Give the source's fixed average pooling a window that a small clip fills."""
    for module in network.modules():
        if isinstance(module, nn.AvgPool3d):
            frames, height, width = features.shape[2:]
            if slow_frames and module.kernel_size[0] == 32:
                frames *= 4
            sizes = zip(module.kernel_size, (frames, height, width), strict=True)
            module.kernel_size = tuple(int(min(pair)) for pair in sizes)


def test_shapes_follow_the_declared_stages(pair, random_clip):
    _, backbone, _ = pair
    clip = random_clip(2, 3, 8, 64, 64)
    with torch.inference_mode():
        features = backbone.features(clip)
        last = backbone(clip)
    assert list(features) == [stage.name for stage in backbone.stages]
    for stage in backbone.stages:
        sizes = [size // step for size, step in zip((8, 64, 64), stage.stride, strict=True)]
        assert features[stage.name].shape == (2, stage.channels, *sizes)
    torch.testing.assert_close(last, features[backbone.stages[-1].name])


def test_logits_equal_the_sources(pair, random_clip):
    name, backbone, source = pair
    clip = random_clip(2, 3, 8, 64, 64)
    with torch.inference_mode():
        cut_pooling(source, backbone(clip), name == "slowfast_r50")
        expected = source_logits(name, source, clip)
        got = backbone.logits(clip)
    if name in SOFTMAX:  # the source ends in one
        got = got.softmax(1)
    assert got.shape == (2, 7)
    assert expected.std() > 1e-4
    assert (got - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


def test_computes_only_what_is_asked_for(pair, random_clip):
    _, backbone, _ = pair
    clip = random_clip(1, 3, 8, 32, 32)
    called = []
    hooks = [
        backbone.network.get_submodule(path).register_forward_hook(
            lambda *_, name=step.name: called.append(name)
        )
        for step in backbone.steps
        for path in step.modules
    ]
    second, last = backbone.stages[1].name, backbone.stages[-1].name
    with torch.inference_mode():
        subset = backbone.features(clip, [second])
        assert set(called) == {backbone.stages[0].name, second}
        both = backbone.features(clip, (last, second))
    for hook in hooks:
        hook.remove()
    assert list(subset) == [second]
    assert list(both) == [second, last]
    torch.testing.assert_close(subset[second], both[second])


def test_takes_channels_last(pair, random_clip):
    _, backbone, _ = pair
    clip = random_clip(2, 3, 8, 32, 32)
    with torch.inference_mode():
        expected = backbone(clip)
        got = backbone(clip.contiguous(memory_format=torch.channels_last_3d))
    scale = expected.abs().max()
    assert (got - expected).abs().max() <= 1e-4 * scale


def test_a_hook_on_a_stage_module_changes_the_stages_after_it(pair, random_clip):
    """What is put after `Stage.module` sees 5-D features, and the later stages see its work."""
    _, backbone, _ = pair
    clip = random_clip(1, 3, 8, 32, 32)
    first, last = backbone.stages[1], backbone.stages[-1]
    seen = []

    def double(_module, _inputs, output):
        seen.append(tuple(output.shape))
        return output * 2

    with torch.inference_mode():
        plain = backbone.features(clip, [first.name, last.name])
        logits = backbone.logits(clip)
        hook = backbone.get_submodule(first.module).register_forward_hook(double)
        changed = backbone.features(clip, [first.name, last.name])
        changed_logits = backbone.logits(clip)
        hook.remove()
    assert set(seen) == {tuple(plain[first.name].shape)}
    torch.testing.assert_close(changed[first.name], 2 * plain[first.name])
    assert not torch.allclose(changed[last.name], plain[last.name])
    assert not torch.allclose(changed_logits, logits)


@pytest.mark.parametrize("name", ["r2plus1d_18", "s3d", "x3d_xs", "slowfast_r50", "resnet18_2d"])
def test_every_parameter_but_the_heads_gets_a_gradient(name, random_clip):
    backbone = backbones.build(name, classes=2)
    backbone(random_clip(2, 3, 8, 64, 64)).square().mean().backward()
    without = [
        name
        for name, parameter in backbone.network.named_parameters()
        if parameter.grad is None and not name.startswith(backbone.head_path)
    ]
    assert without == []


@pytest.mark.parametrize("name", WITH_SOURCE)
def test_without_classes_there_is_no_head(name, random_clip):
    with torch.device("meta"):
        backbone = backbones.build(name)
    assert not [key for key in backbone.network.state_dict() if key.startswith(backbone.head_path)]
    with pytest.raises(ArgumentError, match="classes=None"):
        backbone.logits(random_clip(1, 3, 8, 64, 64))


@pytest.mark.parametrize(
    ("name", "size"),
    [("slow_r50", (8, 7, 7)), ("slow_r50", (9, 8, 7)), ("csn_r101", (4, 8, 8)),
     ("i3d_r50", (4, 7, 8)), ("r2plus1d_r50", (4, 8, 8)), ("r2plus1d_r50", (4, 7, 7)),
     ("x3d_m", (16, 8, 8)), ("x3d_s", (13, 5, 5)), ("s3d", (16, 7, 7))],
)  # fmt: skip
def test_heads_with_their_own_windows_equal_the_sources(name, size, source_network, random_clip):
    """On the feature sizes that the source was made for, and on larger ones."""
    source = source_network(name, 7)
    backbone = backbones.build(name, classes=7).eval()
    backbone.network.load_state_dict(source.state_dict())
    x = random_clip(2, backbone.stages[-1].channels, *size)
    with torch.inference_mode():
        got = backbone._classify(x)
        if name == "s3d":
            expected = source.classifier(source.avgpool(x)).mean((2, 3, 4))
        else:
            expected = source.blocks[-1](x)
    if name in SOFTMAX:
        got = got.softmax(1)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size"),
    [("x3d_xs", (4, 160, 160)), pytest.param("slow_r50", (8, 224, 224), marks=pytest.mark.slow),
     pytest.param("slowfast_r50", (32, 224, 224), marks=pytest.mark.slow),
     pytest.param("csn_r101", (32, 224, 224), marks=pytest.mark.slow),
     pytest.param("r2plus1d_r50", (16, 224, 224), marks=pytest.mark.slow),
     pytest.param("x3d_m", (16, 256, 256), marks=pytest.mark.slow),
     pytest.param("s3d", (16, 224, 224), marks=pytest.mark.slow)],
)  # fmt: skip
def test_logits_equal_the_untouched_sources_at_full_size(name, size, source_network, random_clip):
    source = source_network(name, 7)
    backbone = backbones.build(name, classes=7).eval()
    backbone.network.load_state_dict(source.state_dict())
    clip = random_clip(1, 3, *size)
    with torch.inference_mode():
        got = backbone.logits(clip)
        expected = source_logits(name, source, clip)
    if name in SOFTMAX:
        got = got.softmax(1)
    assert (got - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


def test_slowfast_passes_the_identity_through_exactly(random_clip):
    """Joining and parting the pathways between stages changes no bit of the logits."""
    backbone = backbones.build("slowfast_r50", classes=3).eval()
    clip = random_clip(1, 3, 16, 64, 64)
    x = pathways(clip)
    with torch.inference_mode():
        for block in backbone.network.blocks[:5]:
            x = block(list(x))
        slow, fast = x
        joined = backbone(clip)
    assert torch.equal(joined[:, :2048], slow)
    near = fast[:, :, 2:7].mean(2)  # around slow frame 1, which is fast frame 4
    torch.testing.assert_close(joined[:, 2048:, 1], near)


def test_slowfast_spreads_slow_frames_like_the_source(random_clip):
    backbone = backbones.build("slowfast_r50", slow_frames="spread")
    clip = torch.arange(32.0).view(1, 1, 32, 1, 1).expand(1, 3, 32, 1, 1)
    slow, fast = backbone._enter(clip)
    assert slow[0, 0, :, 0, 0].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert fast is clip
    with pytest.raises(ArgumentError, match="expected 8, 12, 16"):
        backbone(random_clip(1, 3, 10, 32, 32))
    with pytest.raises(ArgumentError, match="slow_frames"):
        backbones.build("slowfast_r50", slow_frames="random")


def test_frames_of_image_networks_fold_without_a_copy(random_clip):
    from vidattn.backbones.image_resnet import fold_frames, unfold_frames

    clip = random_clip(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    folded = fold_frames(clip)
    assert folded.data_ptr() == clip.data_ptr()
    assert folded.is_contiguous(memory_format=torch.channels_last)
    for number in range(8):
        assert torch.equal(folded[number], clip[number // 4, :, number % 4])
    back = unfold_frames(folded, 2)
    assert back.data_ptr() == clip.data_ptr()
    assert torch.equal(back, clip)


def test_image_networks_treat_frames_alone(random_clip):
    backbone = backbones.build("resnet18_2d").eval()
    clip = random_clip(1, 3, 4, 32, 32)
    with torch.inference_mode():
        whole = backbone(clip)
        shuffled = backbone(clip[:, :, [2, 0, 3, 1]])
    torch.testing.assert_close(shuffled, whole[:, :, [2, 0, 3, 1]])


def test_average_probabilities_is_the_log_of_their_mean(random_clip):
    from vidattn.backbones.pytorchvideo_networks import AverageProbabilities

    x = random_clip(3, 5, 2, 2, 3).double() * 4
    got = AverageProbabilities()(x).softmax(1)
    torch.testing.assert_close(got, F.softmax(x, 1).mean((2, 3, 4)))
    alone = x[:, :, :1, :1, :1]
    torch.testing.assert_close(AverageProbabilities()(alone), alone.flatten(1))


def test_unknown_names_and_settings_answer_with_close_ones():
    with pytest.raises(UnknownNameError, match="did you mean r3d_18"):
        backbones.build("r3d18")
    with pytest.raises(UnknownNameError, match="known are c2d_r50, csn_r101"):
        backbones.build("zzz")
    with pytest.raises(ArgumentError, match=r"r3d_18.*did you mean temporal_stride\?"):
        backbones.build("r3d_18", temporal_strid=2)
    with pytest.raises(ArgumentError, match="known are classes"):
        backbones.build("resnet18_2d", variant="resnet50_2d")


@pytest.mark.parametrize("classes", [0, -1, 2.5, True, "5"])
def test_classes_must_be_a_positive_number(classes):
    with pytest.raises(ArgumentError, match="classes: expected"):
        backbones.build("r3d_18", classes=classes)


def test_wrong_clips_and_stages_are_named():
    backbone = backbones.build("x3d_xs")
    with pytest.raises(ArgumentError, match=r"expected \(N, 3, T, H, W\), got \(1, 1, 4, 32, 32\)"):
        backbone(torch.zeros(1, 1, 4, 32, 32))
    with pytest.raises(ArgumentError, match=r"got \['layer9'\]"):
        backbone.features(torch.zeros(1, 3, 4, 32, 32), "layer9")
    assert backbone.features(torch.zeros(1, 3, 4, 32, 32), []) == {}


def test_names_need_no_torch():
    code = (
        "import sys, vidattn.backbones as b; assert 'slim' in b.names(); "
        "assert not {'torch', 'torchvision', 'pytorchvideo'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_heads_pool_features_larger_than_their_window_as_asked():
    """Written out for each place of the window, on features that differ strongly between them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2048, 8, 8, 8, generator=generator) * 20
    got, backbone = {}, None
    for pooling in ("logits", "probabilities", "whole"):
        torch.manual_seed(0)
        backbone = backbones.build("slow_r50", classes=5, head_pooling=pooling).eval()
        generator.manual_seed(1)
        torch.nn.init.normal_(backbone.network.blocks[5].proj.weight, 0, 0.05, generator=generator)
        with torch.inference_mode():
            got[pooling] = backbone._classify(x)
    layer = backbone.network.blocks[5].proj
    with torch.inference_mode():
        places = torch.stack(
            [layer(x[..., i : i + 7, j : j + 7].mean((2, 3, 4))) for i in (0, 1) for j in (0, 1)]
        )
        torch.testing.assert_close(got["logits"], places.mean(0), rtol=1e-4, atol=1e-4)
        expected = places.softmax(2).mean(0)
        torch.testing.assert_close(got["probabilities"].softmax(1), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(got["whole"], layer(x.mean((2, 3, 4))), rtol=1e-4, atol=1e-4)
    assert (got["logits"].softmax(1) - expected).abs().max() > 0.005
    with pytest.raises(ArgumentError, match="head_pooling: expected one of"):
        backbones.build("slow_r50", classes=5, head_pooling="middle")
