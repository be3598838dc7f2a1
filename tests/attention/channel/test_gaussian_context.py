from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def reference(x: np.ndarray, deviation: float) -> np.ndarray:
    out = np.empty_like(x)
    for n in range(len(x)):
        means = np.array([channel.mean() for channel in x[n]])
        spread = ((means - means.mean()) ** 2).mean()
        normalised = (means - means.mean()) / np.sqrt(spread + 1e-5)
        for c in range(x.shape[1]):
            out[n, c] = x[n, c] * np.exp(-(normalised[c] ** 2) / (2 * deviation**2))
    return out


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("deviation", [2.0, 0.7])
def test_equals_formula(grid, deviation):
    module = build("gaussian_context", 10, spatial_dims=len(grid), deviation=deviation)
    x = torch.randn(3, 10, *grid, dtype=torch.float64)
    np.testing.assert_allclose(
        module(x).numpy(), reference(x.numpy(), deviation), rtol=1e-10, atol=1e-12
    )
    assert not list(module.parameters())


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_learned_deviation(grid, training, randomise):
    module = build("gaussian_context", 10, spatial_dims=len(grid), learnable=True)
    randomise(module).double().train(training)
    x = torch.randn(3, 10, *grid, dtype=torch.float64)
    deviation = 3 / (1 + np.exp(-module.spread.item())) + 1
    np.testing.assert_allclose(
        module(x).detach().numpy(), reference(x.numpy(), deviation), rtol=1e-10, atol=1e-12
    )


def test_learned_deviation_starts_between_its_limits_and_learns():
    module = build("gaussian_context", 10, learnable=True)
    assert module.spread == 0
    module(torch.randn(2, 10, 3, 4, 5)).sum().backward()
    assert module.spread.grad != 0


def test_sigma_is_a_standard_deviation_not_a_factor():
    # Ten channels whose means are 0 but one: it lies 3 deviations away.
    x = torch.zeros(1, 10, 4, dtype=torch.float64)
    x[:, 0] = 1
    out = build("gaussian_context", 10, spatial_dims=1)(x)
    torch.testing.assert_close(out[0, 0, 0].item(), np.exp(-9 / 8), rtol=1e-3, atol=0)


def test_deviation_must_be_positive():
    with pytest.raises(ValueError, match="deviation: expected a number above 0, got 0"):
        build("gaussian_context", 10, deviation=0)
