from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import (
    batch_norm,
    convolve,
    linear,
    relu,
    sigmoid,
    weights_of,
)
from vidattn.attention import build


def reference(x, w, *, training):
    def block(x, name):
        return batch_norm(convolve(x, w, name), w, f"{name}_norm", training=training)

    x = x * sigmoid(linear(relu(linear(x, w, "squeeze")), w, "excite"))
    return x * sigmoid(block(relu(block(x, "narrow")), "widen"))


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 6)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_size", [7, 3])
def test_equals_formula(grid, training, kernel_size, randomise):
    settings = {"reduction": 2, "kernel_size": kernel_size}
    module = randomise(build("gam", 6, spatial_dims=len(grid), **settings)).double()
    weights = weights_of(module)
    x = torch.randn(2, 6, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach()
    expected = reference(x.numpy(), weights, training=training)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


def test_a_quarter_of_the_channels_are_hidden():
    module = build("gam", 16, spatial_dims=2)
    assert module.narrow.weight.shape == (4, 16, 7, 7)


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size: expected 3 odd sizes or one, got 4"):
        build("gam", 16, kernel_size=4)
