from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import sigmoid, weights_of
from vidattn.attention import build


def reference(x, w, groups):
    out = np.empty_like(x)
    width = x.shape[1] // groups
    for n in range(len(x)):
        for g in range(groups):
            part = x[n, g * width : (g + 1) * width]
            likeness = sum(channel * channel.mean() for channel in part)
            standard = (likeness - likeness.mean()) / (likeness.std() + 1e-5)
            gate = sigmoid(w["scale"][g] * standard + w["shift"][g])
            out[n, g * width : (g + 1) * width] = part * gate
    return out


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("groups", [1, 3, 12])
def test_equals_formula(grid, training, groups, randomise):
    module = randomise(build("sge", 12, spatial_dims=len(grid), groups=groups)).double()
    x = torch.randn(3, 12, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach()
    expected = reference(x.numpy(), weights_of(module), groups)
    np.testing.assert_allclose(out, expected, atol=1e-12, rtol=1e-10)


def test_a_single_position_has_no_spread_and_finite_gradients(randomise):
    module = randomise(build("sge", 4)).double()
    x = torch.randn(2, 4, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()


def test_groups_that_do_not_divide_are_refused():
    assert build("sge", 128).groups == 64
    with pytest.raises(ValueError, match="groups: expected a divisor of 24, got 64"):
        build("sge", 24, groups=64)
