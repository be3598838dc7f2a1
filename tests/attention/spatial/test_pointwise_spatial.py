from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def reduction(x, w, name, *, training):
    """(N, C, L): 1×1 convolution, batch normalisation, ReLU."""
    x = w[f"{name}.linear.weight"] @ x
    mean, variance = w[f"{name}.norm.running_mean"], w[f"{name}.norm.running_var"]
    if training:
        mean, variance = x.mean((0, 2)), x.var((0, 2))
    x = (x - mean[:, None]) / np.sqrt(variance + 1e-5)[:, None]
    return np.maximum(x * w[f"{name}.norm.weight"][:, None] + w[f"{name}.norm.bias"][:, None], 0)


def reference(x, w, largest, *, training):
    places = list(np.ndindex(x.shape[2:]))
    flat = x.reshape(*x.shape[:2], -1)
    mixed, tables = [], []
    for branch in ("collect", "distribute"):
        z = reduction(flat, w, f"{branch}.reduce", training=training)
        inner = reduction(z, w, f"{branch}.inner", training=training)
        over = np.einsum("oc,ncl->nlo", w[f"{branch}.score.weight"], inner)
        over = over.reshape(len(x), len(places), 2 * largest[0] - 1, 2 * largest[1] - 1)
        table = np.empty((len(x), len(places), len(places)))
        for i, p in enumerate(places):
            for j, q in enumerate(places):
                # Collecting, the reader i predicts; distributing, the source j does.
                says, a, b = (i, p, q) if branch == "collect" else (j, q, p)
                down, right = b[0] - a[0] + largest[0] - 1, b[1] - a[1] + largest[1] - 1
                table[:, i, j] = over[:, says, down, right]
        table = np.exp(table) / np.exp(table).sum(2, keepdims=True)
        mixed.append(np.einsum("nij,ncj->nci", table, z))
        tables.append(table)
    added = reduction(np.concatenate(mixed, 1), w, "output", training=training)
    return x + added.reshape(x.shape), np.stack(tables, 1)


@pytest.mark.parametrize(("grid", "largest"), [((4, 5), (4, 5)), ((3, 4), (6, 7)), ((5, 2), 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, largest, training, randomise):
    module = build("psanet", 8, spatial_dims=2, hidden_channels=3, largest=largest)
    randomise(module).double().train(training)
    w = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    with record_maps(module, affinities="full") as maps:
        out = module(x)
    sizes = (largest, largest) if isinstance(largest, int) else largest
    expected, tables = reference(x.numpy(), w, sizes, training=training)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-12, rtol=1e-12)
    np.testing.assert_allclose(maps[0].affinity, tables, atol=1e-12)
    np.testing.assert_allclose(maps[0].values.reshape(2, 2, -1), tables.mean(2), atol=1e-12)


def test_largest_fixes_the_displacements():
    module = build("psanet", 8, spatial_dims=2, largest=(4, 6))
    assert module.collect.score.out_features == 7 * 11
    assert module(torch.randn(2, 8, 4, 6)).shape == (2, 8, 4, 6)
    message = r"expected H and W up to 4 and 6 \(`largest`\), got 5 and 6"
    with pytest.raises(ValueError, match=message):
        module(torch.randn(2, 8, 5, 6))
    with pytest.raises(ValueError, match="largest: expected H and W or one number, got 0"):
        build("psanet", 8, spatial_dims=2, largest=0)
