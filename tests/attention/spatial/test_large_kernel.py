from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def depthwise(x, kernel, bias, dilation):
    """(N, C, *grid): for each position a sum over the neighbours that exist."""
    out = np.zeros_like(x)
    grid, sizes = x.shape[2:], kernel.shape[2:]
    for place in np.ndindex(grid):
        for tap in np.ndindex(sizes):
            seen = tuple(
                p + (t - s // 2) * dilation for p, t, s in zip(place, tap, sizes, strict=True)
            )
            if all(0 <= i < n for i, n in zip(seen, grid, strict=True)):
                out[(..., *place)] += kernel[(slice(None), 0, *tap)] * x[(..., *seen)]
    return out + bias.reshape(-1, *[1] * len(grid))


def reference(x, w, dilation):
    near = depthwise(x, w["local.weight"], w["local.bias"], 1)
    wide = depthwise(near, w["dilated.weight"], w["dilated.bias"], dilation)
    across = w["across.weight"].reshape(w["across.weight"].shape[:2])
    weights = np.einsum("oc,nc...->no...", across, wide)
    return x * (weights + w["across.bias"].reshape(-1, *[1] * (x.ndim - 2)))


@pytest.mark.parametrize(
    ("grid", "settings"),
    [
        ((9,), {}),
        ((6, 7), {}),
        ((5, 6), {"local_kernel": (1, 3), "dilated_kernel": (3, 5), "dilation": 2}),
        ((3, 4, 5), {"local_kernel": (1, 3, 3), "dilated_kernel": 3, "dilation": 2}),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, settings, training, randomise):
    module = build("lka", 4, spatial_dims=len(grid), **settings)
    randomise(module).double().train(training)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    expected = reference(x.numpy(), w, settings.get("dilation", 3))
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-12, rtol=1e-12)


def test_it_sees_as_far_as_one_kernel_of_23():
    module = build("lka", 1, spatial_dims=1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    x = torch.zeros(1, 1, 41, requires_grad=True)
    module.weights(x, None, None)[0, 0, 20].backward()
    assert x.grad.nonzero()[:, 2].tolist() == list(range(9, 32))


def test_dilation_is_checked():
    with pytest.raises(ValueError, match="dilation: expected at least 1, got 0"):
        build("lka", 4, dilation=0)
