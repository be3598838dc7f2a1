"""The transformers, and the image network whose frames exchange channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidattn import backbones
from vidattn.attention.temporal.shift import TemporalShift
from vidattn.backbones.image_resnet import shift_frames
from vidattn.backbones.video_transformer import sine_positions
from vidattn.errors import ArgumentError

SMALL = {
    "mvit_v1_b": {},
    "mvit_v2_s": {},
    "swin3d_t": {},
    "videomae_s": {"frames": 8, "size": 64},
}


@pytest.fixture(scope="module", params=SMALL)
def network(request):
    torch.manual_seed(0)
    return backbones.build(request.param, classes=5, **SMALL[request.param]).eval()


def test_shapes_follow_the_declared_stages(network, random_clip):
    clip = random_clip(1, 3, 8, 64, 64)
    with torch.inference_mode():
        features = network.features(clip)
        logits, last = network.classify(clip)
    assert list(features) == [stage.name for stage in network.stages]
    for stage in network.stages:
        sizes = [size // step for size, step in zip((8, 64, 64), stage.stride, strict=True)]
        assert features[stage.name].shape == (1, stage.channels, *sizes)
    assert torch.equal(last, features[network.stages[-1].name])
    assert torch.equal(logits, network.logits(clip))


@pytest.mark.parametrize("name", ["mvit_v1_b", "mvit_v2_s", "swin3d_t"])
def test_logits_equal_torchvisions(name, random_clip):
    from torchvision.models import video

    torch.manual_seed(1)
    source = getattr(video, name)(num_classes=5).eval()
    backbone = backbones.build(name, classes=5).eval()
    for network in (source, backbone.network) if name.startswith("mvit") else ():
        shrink(network.pos_encoding)
    for parameter in source.parameters():  # a class token and positions that matter
        nn.init.normal_(parameter, 0.01, 0.05)
    backbone.network.load_state_dict(source.state_dict())
    clip = random_clip(1, 3, 8, 64, 64)
    with torch.inference_mode():
        expected = source(clip)
        got = backbone.logits(clip)
    assert expected.std() > 1e-4
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def shrink(positions):
    """torchvision's takes clips of one size only: make that 8×64×64."""
    positions.temporal_size, positions.spatial_size = 4, (16, 16)
    if positions.spatial_pos is not None:
        positions.spatial_pos = nn.Parameter(torch.zeros(256, 96))
        positions.temporal_pos = nn.Parameter(torch.zeros(4, 96))


def test_a_hook_on_a_stage_module_changes_what_comes_after_it(network, random_clip):
    clip = random_clip(1, 3, 8, 64, 64)
    second, last = network.stages[1], network.stages[-1]
    with torch.inference_mode():
        plain = network.features(clip, [second.name, last.name])
        hook = network.get_submodule(second.module).register_forward_hook(lambda *a: a[2] * 2)
        changed = network.features(clip, [second.name, last.name])
        hook.remove()
    torch.testing.assert_close(changed[second.name], 2 * plain[second.name])
    assert not torch.allclose(changed[last.name], plain[last.name])


def test_other_clip_sizes_pass(network, random_clip):
    with torch.inference_mode():
        assert network.logits(random_clip(1, 3, 12, 96, 64)).shape == (1, 5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shortcuts_are_centred_where_declared(network, axis):
    """With attention and perceptrons silenced, what is left of a ramp is read at the centres."""
    silenced = backbones.build(network.variant, **SMALL[network.variant]).eval()
    _silence(silenced)
    size = {0: (8, 32, 32), 1: (2, 128, 32), 2: (2, 32, 128)}[axis]
    clip = torch.zeros(1, 3, *size)
    for number, stage in enumerate(silenced.stages):
        if number and silenced.variant.startswith("mvit"):
            continue  # pooled by maxima: see the strides in the shapes
        index = size[axis] // stage.stride[axis] // 2
        first, last = _reach(silenced, clip, stage, axis, index)
        centre = stage.offset[axis] + stage.stride[axis] * index
        assert (first + last) / 2 == centre, stage.name


def _reach(network, clip, stage, axis, index):
    """First and last input index along an axis that a feature sees without attention."""
    clip = clip.clone().normal_().requires_grad_()
    output = network.features(clip, [stage.name])[stage.name].movedim(2 + axis, 0)[index]
    (gradient,) = torch.autograd.grad(output.square().sum(), clip)
    reached = gradient.movedim(2 + axis, 0).flatten(1).abs().sum(1).nonzero().flatten()
    return int(reached[0]), int(reached[-1])


def _silence(network):
    for name, parameter in network.named_parameters():
        if any(part in name for part in ("attn.pro", "attention.project", "mlp", "perceptron.2")):
            nn.init.zeros_(parameter)


def test_positions_are_the_sines_of_the_paper():
    positions = sine_positions(5, 6)
    for place in range(5):
        for pair in range(3):
            angle = torch.tensor(place / 10000 ** (2 * pair / 6))
            torch.testing.assert_close(positions[place, 2 * pair], angle.sin())
            torch.testing.assert_close(positions[place, 2 * pair + 1], angle.cos())


def test_shares_of_positions_average_to_the_logits(random_clip):
    torch.manual_seed(2)
    for name in ("swin3d_t", "videomae_s"):
        backbone = backbones.build(name, classes=4, **SMALL[name]).double().eval()
        for parameter in backbone.network.norm.parameters():
            nn.init.normal_(parameter, 1, 0.5)
        with torch.inference_mode():
            logits, features = backbone.classify(random_clip(2, 3, 8, 64, 64).double())
            shares = backbone.position_logits(features)
        torch.testing.assert_close(shares.mean((2, 3, 4)), logits)


def test_clips_smaller_than_a_tubelet_are_refused():
    with pytest.raises(ArgumentError, match=r"at least \(2, 16, 16\)"):
        backbones.build("videomae_s")(torch.zeros(1, 3, 1, 32, 32))


def test_frames_exchange_channels_as_the_mechanism_does(random_clip):
    x = random_clip(2, 20, 5, 3, 4)
    assert torch.equal(shift_frames(x), TemporalShift(20, division=8)(x))


def test_shifted_network_is_its_source_where_frames_are_alike_in_all_but_the_shift(random_clip):
    """Written out frame by frame with torchvision's own blocks."""
    backbone = backbones.build("tsm_r50", classes=3).eval()
    x = random_clip(1, 64, 4, 8, 8)
    block = backbone.network.layer1[0]
    with torch.inference_mode():
        got = backbone.network.layer1[0:1](x)
        shifted = TemporalShift(64)(x)
        for frame in range(4):
            inside = block.conv1(shifted[:, :, frame])
            inside = block.relu(block.bn1(inside))
            inside = block.bn3(block.conv3(block.relu(block.bn2(block.conv2(inside)))))
            expected = block.relu(inside + block.downsample(x[:, :, frame]))
            torch.testing.assert_close(got[:, :, frame], expected)
    assert backbone.logits(random_clip(1, 3, 4, 32, 32)).shape == (1, 3)
