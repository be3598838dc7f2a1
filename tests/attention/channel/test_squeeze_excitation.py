from __future__ import annotations

import pytest
import torch
from torchvision.ops import SqueezeExcitation as Reference

from vidattn.attention import PerFrame, build


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 7)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_torchvision(grid, training, randomise):
    ours = randomise(build("se", 24, spatial_dims=len(grid), reduction=4)).double().train(training)
    theirs = Reference(24, 6).double().train(training)
    copy_weights(ours, theirs)
    x = torch.randn(3, 24, *grid, dtype=torch.float64)
    # An image of one row: the mean over positions does not know their number of axes.
    expected = theirs(x.reshape(3, 24, 1, -1)).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 7)])
def test_equals_monai(grid, randomise):
    monai = pytest.importorskip("monai.networks.blocks")
    ours = randomise(build("se", 24, spatial_dims=len(grid), reduction=4)).double()
    theirs = monai.ChannelSELayer(spatial_dims=len(grid), in_channels=24, r=4).double()
    theirs.fc[0].load_state_dict(ours.squeeze.state_dict())
    theirs.fc[2].load_state_dict(ours.excite.state_dict())
    x = torch.randn(3, 24, *grid, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


def test_per_frame_equals_torchvision_frame_by_frame(randomise):
    module = randomise(build("se", 24, scope="frame")).double()
    assert isinstance(module, PerFrame)
    theirs = Reference(24, 1).double()
    copy_weights(module.module, theirs)
    x = torch.randn(2, 24, 4, 5, 7, dtype=torch.float64)
    expected = torch.stack([theirs(x[:, :, t]) for t in range(4)], dim=2)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


def test_clip_of_a_repeated_frame_equals_the_frame(randomise):
    module = randomise(build("se", 24)).double()
    frame = torch.randn(2, 24, 1, 5, 7, dtype=torch.float64)
    out = module(frame.expand(-1, -1, 6, -1, -1))
    torch.testing.assert_close(out, module(frame).expand_as(out))


def test_hidden_layer_never_vanishes():
    assert build("se", 8, reduction=16).squeeze.out_features == 1


def copy_weights(ours, theirs) -> None:
    with torch.no_grad():
        for one, other in ((ours.squeeze, theirs.fc1), (ours.excite, theirs.fc2)):
            other.weight.copy_(one.weight[:, :, None, None])
            other.bias.copy_(one.bias)
