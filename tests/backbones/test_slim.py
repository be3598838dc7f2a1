from __future__ import annotations

import pytest
import torch
from torch import nn

from vidattn import backbones
from vidattn.errors import ArgumentError


def test_it_has_about_a_million_parameters():
    slim = backbones.build("slim", classes=8)
    assert 0.7e6 < sum(parameter.numel() for parameter in slim.parameters()) < 1.3e6


@pytest.mark.parametrize("temporal_strides", [(1, 1, 2, 1), (2, 1, 1, 2), (1, 1, 1, 1)])
def test_sizes_and_subsets(temporal_strides):
    slim = backbones.build("slim", classes=3, temporal_strides=temporal_strides).eval()
    clip = torch.rand(2, 3, 8, 64, 64)
    with torch.inference_mode():
        features = slim.features(clip)
        assert list(slim.features(clip, ["layer1"])) == ["layer1"]
        assert slim.features(clip, []) == {}
        torch.testing.assert_close(slim(clip), features["layer3"])
        expected = slim.head(features["layer3"].mean((2, 3, 4)))
        torch.testing.assert_close(slim.logits(clip), expected)
    for stage in slim.stages:
        sizes = [size // step for size, step in zip((8, 64, 64), stage.stride, strict=True)]
        assert features[stage.name].shape == (2, stage.channels, *sizes)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("difference", [False, True])
def test_receptive_fields_are_centred_where_declared(axis, difference):
    """The difference channel alone reaches one frame further back."""
    inputs = ("colour", "change") if difference else ("colour",)
    slim = backbones.build("slim", inputs=inputs).double().eval()
    for module in slim.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            # Brightness falls out of the sum of a change: weigh it differently.
            if difference and module.in_channels == 4:
                nn.init.constant_(module.weight[:, 3], 0.001)
    sizes = [4, 1, 1]
    sizes[axis] = 160
    clip = torch.rand(1, 3, *sizes, dtype=torch.float64, requires_grad=True)
    features = slim.features(clip)
    for stage in slim.stages:
        output = features[stage.name].movedim(2 + axis, 0)
        index = len(output) // 2
        (gradient,) = torch.autograd.grad(output[index].sum(), clip, retain_graph=True)
        reached = gradient.movedim(2 + axis, 0).flatten(1).abs().sum(1).nonzero().flatten()
        centre = (int(reached[0]) + int(reached[-1])) / 2
        shift = 0.5 if difference and axis == 0 else 0
        assert centre + shift == stage.offset[axis] + stage.stride[axis] * index


def test_wrong_settings_and_inputs_are_named():
    with pytest.raises(ArgumentError, match="equal lengths"):
        backbones.build("slim", widths=(8, 16))
    with pytest.raises(ArgumentError, match="classes=None"):
        backbones.build("slim").logits(torch.rand(1, 3, 4, 32, 32))
    with pytest.raises(ArgumentError, match=r"got \['layer7'\]"):
        backbones.build("slim").features(torch.rand(1, 3, 4, 32, 32), ["layer7"])


@pytest.mark.parametrize("input_stride", [1, 2])
def test_a_ramp_is_read_at_the_declared_centres(input_stride):
    """Through positive weights, a feature of the ramp x ↦ x over one of 1 is its field's centre."""
    slim = (
        backbones.build(
            "slim",
            inputs=("colour",),
            input_stride=input_stride,
            widths=(2, 3, 4),
            spatial_strides=(2, 1, 2),
            temporal_strides=(1, 1, 1),
        )
        .double()
        .eval()
    )
    for module in slim.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.constant_(module.weight, 0.1)
    ramp = torch.arange(96, dtype=torch.float64).expand(1, 3, 8, 96, 96)
    with torch.inference_mode():
        seen, ones = slim.features(ramp), slim.features(torch.ones_like(ramp))
    for stage in slim.stages:
        # The norms' epsilon scales both alike.
        centres = (seen[stage.name] / ones[stage.name])[0, 0, 4]
        width = centres.shape[1]
        inner = slice(width // 3, 2 * width // 3)
        expected = stage.offset[2] + stage.stride[2] * torch.arange(width, dtype=torch.float64)
        torch.testing.assert_close(centres[width // 2, inner], expected[inner], atol=1e-9, rtol=0)
