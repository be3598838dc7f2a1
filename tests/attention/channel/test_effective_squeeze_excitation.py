from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def reference(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    for n in range(len(x)):
        means = np.array([channel.mean() for channel in x[n]])
        for c in range(x.shape[1]):
            score = sum(weight[c, k] * means[k] for k in range(x.shape[1])) + bias[c]
            out[n, c] = x[n, c] * min(max(score + 3, 0), 6) / 6
    return out


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = randomise(build("ese", 6, spatial_dims=len(grid))).double().train(training)
    # Scores on both sides of both limits: the three pieces of the hard sigmoid.
    with torch.no_grad():
        module.excite.bias.copy_(torch.tensor([-5.0, -3.1, 0.3, 1.0, 2.9, 5.0]))
    x = torch.randn(3, 6, *grid, dtype=torch.float64)
    expected = reference(
        x.numpy(), module.excite.weight.detach().numpy(), module.excite.bias.detach().numpy()
    )
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.oracle
def test_equals_timm_per_frame(randomise):
    timm = pytest.importorskip("timm.layers")
    module = randomise(build("ese", 24, scope="frame")).double()
    theirs = timm.EffectiveSEModule(24).double()
    with torch.no_grad():
        theirs.fc.weight.copy_(module.module.excite.weight[:, :, None, None])
        theirs.fc.bias.copy_(module.module.excite.bias)
    x = torch.randn(2, 24, 3, 5, 4, dtype=torch.float64)
    expected = torch.stack([theirs(x[:, :, t]) for t in range(3)], dim=2)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


def test_has_one_square_layer():
    assert sum(p.numel() for p in build("ese", 24).parameters()) == 24 * 24 + 24
