from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def reference(x, module, *, temperature: float, stride: int, groups: int):
    """One sample and one expert after another: the kernels are summed after convolving."""
    experts = module.convolution
    shares, out = [], []
    for sample in x:
        means = torch.stack([channel.mean() for channel in sample])
        hidden = (module.squeeze.weight @ means + module.squeeze.bias).clamp(min=0)
        power = torch.exp((module.route.weight @ hidden + module.route.bias) / temperature)
        share = power / power.sum()
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
    ("temperature", "stride", "groups", "outputs", "bias"),
    [(0.5, 1, 1, 8, True), (3.0, 2, 4, 12, False)],
)
def test_equals_formula(grid, training, temperature, stride, groups, outputs, bias, randomise):
    module = build(
        "dynamic_convolution",
        8,
        spatial_dims=len(grid),
        out_channels=outputs,
        stride=stride,
        groups=groups,
        bias=bias,
        reduction=2,
    )
    randomise(module).double().train(training)
    module.set_temperature(temperature)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected, shares = reference(x, module, temperature=temperature, stride=stride, groups=groups)
    with record_maps(module) as maps:
        out = module(x)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(maps[0].values.flatten(1), shares.detach(), rtol=1e-10, atol=1e-12)


def test_temperature_is_saved_and_is_no_parameter():
    module = build("dynamic_convolution", 8)
    assert module.temperature == 30
    assert "temperature" not in dict(module.named_parameters())
    module.set_temperature(1.5)
    fresh = build("dynamic_convolution", 8)
    fresh.load_state_dict(module.state_dict())
    assert fresh.temperature == 1.5


def test_high_temperature_gives_equal_shares(randomise):
    module = randomise(build("dynamic_convolution", 8, temperature=1e6))
    module.set_temperature(1e6)
    with record_maps(module) as maps:
        module(torch.randn(2, 8, 2, 3, 4))
    torch.testing.assert_close(maps[0].values, torch.full((2, 4, 1, 1, 1), 0.25))


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="temperature: expected a number above 0, got 0"):
        build("dynamic_convolution", 8, temperature=0)
