from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import batch_norm, channelwise, sigmoid, weights_of
from vidattn.attention import build


def reference(x, w, *, training):
    scales = np.abs(w["norm.weight"])
    normed = batch_norm(x, w, "norm", training=training)
    return x * sigmoid(normed * channelwise(scales / scales.sum(), x.ndim))


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("compat", [True, False])
def test_equals_formula(grid, training, compat, randomise):
    module = randomise(build("nam", 6, spatial_dims=len(grid), compat=compat)).double()
    weights = weights_of(module)
    x = torch.randn(3, 6, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach()
    expected = reference(x.numpy(), weights, training=training)
    np.testing.assert_allclose(out, expected, atol=1e-12, rtol=1e-10)


def test_compat_stops_the_gradient_of_the_shares(randomise):
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    gradients = []
    for compat in (False, True):
        module = randomise(build("nam", 6, spatial_dims=2, compat=compat)).double().eval()
        module(x).sum().backward()
        gradients.append(module.norm.weight.grad)
    assert not torch.allclose(*gradients)
    norm = torch.nn.BatchNorm2d(6).double().eval()
    norm.load_state_dict(module.norm.state_dict())
    share = module.norm.weight.detach().abs()
    share = (share / share.sum()).reshape(-1, 1, 1)
    (x * (norm(x) * share).sigmoid()).sum().backward()
    torch.testing.assert_close(gradients[1], norm.weight.grad)
