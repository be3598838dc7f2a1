from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import (
    batch_norm,
    convolve,
    linear,
    others,
    relu,
    sigmoid,
    weights_of,
)
from vidattn.attention import build


def reference(x, w, *, training):
    total = np.zeros_like(x)
    for axis in range(2, x.ndim):
        rest = others(axis, x.ndim)
        strip = convolve(x.mean(rest), w, f"convolutions.{axis - 2}")
        strip = batch_norm(strip, w, f"norms.{axis - 2}", training=training)
        total = total + np.expand_dims(strip, rest)
    return x * sigmoid(linear(relu(total), w, "fuse"))


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8), (1, 4, 6)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_equals_formula(grid, training, kernel_size, randomise):
    module = build("spm", 8, spatial_dims=len(grid), kernel_size=kernel_size)
    module = randomise(module).double()
    weights = weights_of(module)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach().numpy()
    expected = reference(x.numpy(), weights, training=training)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size: expected 1 odd sizes or one, got 2"):
        build("strip_pooling", 8, kernel_size=2)
