from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import linear, softmax, weights_of
from vidattn.attention import build, record_maps


def reference(x, w, scale=1.0):
    x = x.reshape(*x.shape[:2], -1)
    query, key, value = (linear(x, w, name) for name in ("query", "key", "value"))
    out = np.empty_like(x)
    for n in range(len(x)):
        affinity = softmax(scale * query[n].T @ key[n], axis=1)
        out[n] = w["strength"] * np.einsum("cj,ij->ci", value[n], affinity) + x[n]
    return out


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 4)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_equals_formula(grid, training, scale, randomise):
    module = build("pam", 16, spatial_dims=len(grid), scale=scale)
    module = randomise(module).double().train(training)
    x = torch.randn(3, 16, *grid, dtype=torch.float64)
    expected = reference(x.numpy(), weights_of(module), scale).reshape(x.shape)
    np.testing.assert_allclose(module(x).detach(), expected, atol=1e-12, rtol=1e-10)


def test_queries_have_an_eighth_of_the_channels():
    module = build("pam", 64)
    assert module.query.out_features == module.key.out_features == 8
    assert module.value.out_features == 64
    assert build("pam", 64, hidden_channels=5).query.out_features == 5


def test_map_is_the_affinity_by_query_and_key(randomise):
    module = randomise(build("pam", 16, spatial_dims=2)).double()
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64)
    w = weights_of(module)
    flat = x.flatten(2).numpy()
    query, key = linear(flat, w, "query"), linear(flat, w, "key")
    with record_maps(module, affinities="full") as maps:
        module(x)
    expected = softmax(np.einsum("nci,ncj->nij", query, key), axis=2)
    np.testing.assert_allclose(maps[0].affinity[:, 0], expected, rtol=1e-10)
