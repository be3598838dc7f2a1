from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import softmax, weights_of
from vidattn.attention import build, record_maps


def reference(x, w):
    flat = x.reshape(*x.shape[:2], -1)
    out = np.empty_like(flat)
    for n, rows in enumerate(flat):
        energy = rows @ rows.T
        affinity = softmax(energy.max(1, keepdims=True) - energy, axis=1)
        for c in range(len(rows)):
            out[n, c] = rows[c] + w["strength"] * sum(
                a * r for a, r in zip(affinity[c], rows, strict=True)
            )
    return out.reshape(x.shape)


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = randomise(build("cam", 6, spatial_dims=len(grid))).double().train(training)
    # Small enough that the softmax does not pick a single channel.
    x = torch.randn(3, 6, *grid, dtype=torch.float64) * 0.3
    expected = reference(x.numpy(), weights_of(module))
    np.testing.assert_allclose(module(x).detach(), expected, atol=1e-12, rtol=1e-10)


def test_channels_that_differ_attend_to_each_other():
    module = build("cam", 3).double()
    x = torch.ones(1, 3, 2, 2, 2, dtype=torch.float64)
    x[:, 2] = -1
    with record_maps(module, affinities="full") as maps:
        module(x)
    affinity = maps[0].affinity[0, 0]
    assert affinity[0, 2] > 0.99
    torch.testing.assert_close(affinity[2, :2], affinity.new_full((2,), 0.5), atol=1e-6, rtol=0)
    assert maps[0].axes[1] == "channels"
    torch.testing.assert_close(maps[0].values.flatten(), affinity.mean(0))


def test_half_precision_stays_finite():
    module = build("cam", 4, spatial_dims=2).half()
    torch.nn.init.ones_(module.strength)
    x = torch.randn(1, 4, 8, 8, dtype=torch.float16) * 100
    assert module(x).isfinite().all()


def test_the_affinity_is_exact_under_autocast():
    module = build("cam", 6, spatial_dims=2)
    x = torch.randn(2, 6, 4, 5)
    with torch.autocast("cpu", torch.bfloat16), record_maps(module, affinities="full") as maps:
        module(x)
    for n, rows in enumerate(x.flatten(2).double().numpy()):
        expected = softmax(-rows @ rows.T, axis=1)
        np.testing.assert_allclose(maps[0].affinity[n, 0], expected, atol=1e-5)
