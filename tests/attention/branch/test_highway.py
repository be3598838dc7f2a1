from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize("grid", [(7,), (5, 6), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_equals_formula(grid, training, kernel_size, randomise):
    module = build("highway", 6, spatial_dims=len(grid), kernel_size=kernel_size)
    randomise(module).double().train(training)
    x = torch.randn(3, 6, *grid, dtype=torch.float64)
    convolve, padding = CONVOLVE[len(grid)], kernel_size // 2
    score = convolve(x, module.gate.weight, module.gate.bias, padding=padding)
    t = 1 / (1 + torch.exp(-score))
    h = convolve(x, module.transform.weight, module.transform.bias, padding=padding)
    expected = torch.where(h > 0, h, 0) * t + x * (1 - t)
    with record_maps(module) as maps:
        out = module(x)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    seen = maps[0].values.reshape(3, 2, *grid)
    torch.testing.assert_close(seen[:, 0], t.detach().mean(1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(seen[:, 1], 1 - t.detach().mean(1), rtol=1e-10, atol=1e-12)


def test_closed_gate_lets_x_pass_unchanged():
    module = build("highway", 6, gate_bias=-1e3)
    x = torch.randn(2, 6, 3, 4, 5)
    torch.testing.assert_close(module(x), x)


def test_gate_starts_nearly_closed():
    assert (build("highway", 6).gate.bias == -2).all()
