from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import sigmoid
from vidattn.attention import build


def reference(x, regulariser=1e-4):
    out = np.empty_like(x)
    for n, sample in enumerate(x):
        for c, channel in enumerate(sample):
            variance = channel.var(ddof=1)
            energy = (channel - channel.mean()) ** 2 / (4 * (variance + regulariser)) + 0.5
            out[n, c] = channel * sigmoid(energy)
    return out


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training):
    module = build("simam", 6, spatial_dims=len(grid)).train(training)
    x = torch.randn(3, 6, *grid, dtype=torch.float64) * 0.1 + 2
    np.testing.assert_allclose(module(x), reference(x.numpy()), atol=1e-13, rtol=1e-10)
    large = build("simam", 6, regulariser=0.5)(x)
    np.testing.assert_allclose(large, reference(x.numpy(), 0.5), atol=1e-13, rtol=1e-10)


def test_mask_is_a_smaller_set_of_positions():
    x = torch.randn(1, 4, 20, dtype=torch.float64)
    mask = torch.rand(1, 1, 20) < 0.6
    kept = mask.flatten()
    expected = reference(x[:, :, kept].numpy())
    np.testing.assert_allclose(build("simam", 4)(x, mask=mask)[:, :, kept], expected, rtol=1e-10)


def test_one_position_has_no_spread():
    x = torch.randn(2, 4, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    out = build("simam", 4)(x)
    np.testing.assert_allclose(out.detach(), x.detach() * sigmoid(np.float64(0.5)))
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_large_features_do_not_overflow_half_precision():
    x = torch.full((1, 2, 4, 4), 300.0, dtype=torch.float16)
    x[..., 0] = -300
    out = build("simam", 2, spatial_dims=2)(x)
    assert out.dtype == torch.float16
    assert out.isfinite().all()


def test_negative_regulariser_is_refused():
    with pytest.raises(ValueError, match="regulariser: expected a positive number"):
        build("simam", 4, regulariser=0)
