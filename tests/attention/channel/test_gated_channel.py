from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build

EPSILON = 1e-5


def reference(x: np.ndarray, module, norm: str) -> np.ndarray:
    alpha, gamma, beta = (
        parameter.detach().numpy()
        for parameter in (module.scale, module.gate_weight, module.gate_bias)
    )
    out = np.empty_like(x)
    channels = x.shape[1]
    for n in range(len(x)):
        if norm == "l2":
            e = [alpha[c] * np.sqrt((x[n, c] ** 2).sum() + EPSILON) for c in range(channels)]
            shared = np.sqrt(sum(value**2 for value in e) / channels + EPSILON)
        else:
            e = [alpha[c] * np.abs(x[n, c]).sum() for c in range(channels)]
            shared = sum(abs(value) for value in e) / channels + EPSILON
        for c in range(channels):
            out[n, c] = x[n, c] * (1 + np.tanh(gamma[c] * e[c] / shared + beta[c]))
    return out


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, norm, training, randomise):
    module = build("gct", 10, spatial_dims=len(grid), norm=norm)
    randomise(module).double().train(training)
    for size in (1.0, 1e-3):  # the small one makes ε count
        x = size * torch.randn(3, 10, *grid, dtype=torch.float64)
        np.testing.assert_allclose(
            module(x).detach().numpy(), reference(x.numpy(), module, norm), rtol=1e-10, atol=1e-15
        )


def test_large_half_precision_features_do_not_overflow(randomise):
    module = randomise(build("gct", 10)).half()
    x = torch.full((1, 10, 2, 8, 8), 300.0, dtype=torch.float16)
    assert module(x).isfinite().all()


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm: expected 'l2' or 'l1', got 'l3'"):
        build("gct", 10, norm="l3")
