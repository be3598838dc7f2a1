from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def reference(x, w, scale):
    n, c = x.shape[:2]
    tokens = x.reshape(n, c, -1).transpose(0, 2, 1)
    theta, phi, g = (
        tokens @ w[f"{name}.weight"].T + w[f"{name}.bias"] for name in ("query", "key", "value")
    )
    out = np.empty_like(tokens)
    for i in range(n):
        pairs = np.exp(scale * theta[i] @ phi[i].T)
        mixed = pairs / pairs.sum(1, keepdims=True) @ g[i]
        out[i] = mixed @ w["output.weight"].T + w["output.bias"]
    return x + out.transpose(0, 2, 1).reshape(x.shape)


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_equals_formula(grid, scale, randomise):
    module = randomise(build("non_local", 8, spatial_dims=len(grid), scale=scale)).double()
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    expected = reference(x.numpy(), weights, 4**-0.5 if scale is None else scale)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-12, rtol=1e-12)


def test_per_frame_equals_formula(randomise):
    module = randomise(build("non_local", 8, scope="frame")).double()
    weights = {name: value.numpy() for name, value in module.module.state_dict().items()}
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    expected = [reference(x[:, :, t].numpy(), weights, 0.5) for t in range(3)]
    out = module(x).detach().numpy()
    np.testing.assert_allclose(out, np.stack(expected, 2), atol=1e-12, rtol=1e-12)


def test_half_precision_survives_what_would_overflow():
    module = build("non_local", 64, hidden_channels=64).half()
    with torch.no_grad():
        for name in ("query", "key"):
            getattr(module, name).weight.copy_(torch.eye(64) * 20)
    out = module(torch.randn(1, 64, 2, 4, 4).half() * 4)
    assert out.isfinite().all()
