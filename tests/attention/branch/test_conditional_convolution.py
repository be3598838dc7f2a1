from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def reference(x, module, *, stride: int, groups: int):
    """One sample and one expert after another: the kernels are summed after convolving."""
    experts = module.convolution
    shares, out = [], []
    for sample in x:
        means = torch.stack([channel.mean() for channel in sample])
        share = 1 / (1 + torch.exp(-(module.route.weight @ means + module.route.bias)))
        total = 0
        for e, weight in enumerate(experts.weight):
            bias = None if experts.bias is None else experts.bias[e]
            alone = CONVOLVE[x.ndim - 2](
                sample[None], weight, bias, stride=stride, padding=1, groups=groups
            )
            total = total + share[e] * alone
        shares.append(share)
        out.append(total[0])
    return torch.stack(out), torch.stack(shares)


@pytest.mark.parametrize("grid", [(7,), (5, 6), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("stride", "groups", "experts", "outputs", "bias"), [(1, 1, 4, 8, False), (2, 4, 3, 12, True)]
)
def test_equals_formula(grid, training, stride, groups, experts, outputs, bias, randomise):
    module = build(
        "condconv",
        8,
        spatial_dims=len(grid),
        out_channels=outputs,
        stride=stride,
        groups=groups,
        experts=experts,
        bias=bias,
    )
    randomise(module).double().train(training)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected, shares = reference(x, module, stride=stride, groups=groups)
    with record_maps(module) as maps:
        out = module(x)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(maps[0].values.flatten(1), shares.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.oracle
def test_equals_timm(randomise):
    timm = pytest.importorskip("timm.layers")
    module = build("condconv", 8, spatial_dims=2, out_channels=12, stride=2, groups=4, bias=True)
    randomise(module).double()
    theirs = timm.CondConv2d(8, 12, 3, stride=2, groups=4, bias=True, num_experts=4).double()
    with torch.no_grad():
        theirs.weight.copy_(module.convolution.weight.flatten(1))
        theirs.bias.copy_(module.convolution.bias)
    x = torch.randn(3, 8, 7, 6, dtype=torch.float64)
    expected = theirs(x, module.route(x.mean((2, 3))).sigmoid())
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)


def test_each_expert_starts_as_a_convolution_of_its_own():
    weight = build("condconv", 64, spatial_dims=2).convolution.weight.detach()
    bound = (64 * 9) ** -0.5
    assert weight.abs().max() <= bound
    deviations = weight.flatten(1).std(1)
    torch.testing.assert_close(deviations, torch.full((4,), bound / 3**0.5), rtol=0.02, atol=0)
    assert (weight[0] - weight[1]).abs().max() > 0


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="groups: expected a divisor of 8 and 12 channels, got 3"):
        build("condconv", 8, out_channels=12, groups=3)


def test_there_must_be_an_expert():
    with pytest.raises(ValueError, match="experts: expected at least 1, got 0"):
        build("condconv", 8, experts=0)
