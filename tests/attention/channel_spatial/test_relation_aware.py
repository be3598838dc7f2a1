from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import batch_norm, linear, relu, sigmoid, weights_of
from vidattn.attention import build


def relations(x, w, prefix, *, training, kept=None):
    """(N, features, items) -> (N, items); items that are not kept relate to none."""

    def layer(x, name):
        out = linear(x, w, f"{prefix}.{name}.0")
        return batch_norm(out, w, f"{prefix}.{name}.1", training=training)

    query, key, own = (relu(layer(x, name)) for name in ("query", "key", "own"))
    if kept is not None:
        query, key = query * kept, key * kept
    batch, _, items = x.shape
    stacked = np.empty((batch, 2 * items, items))
    for n in range(batch):
        affinity = query[n].T @ key[n]
        for i in range(items):
            stacked[n, :items, i] = affinity[i, :]
            stacked[n, items:, i] = affinity[:, i]
    related = relu(layer(stacked, "relations"))
    seen = np.concatenate([own.mean(1, keepdims=True), related], axis=1)
    return sigmoid(layer(relu(layer(seen, "hidden")), "score"))[:, 0]


def reference(x, w, *, training, kept=None):
    flat = x.reshape(*x.shape[:2], -1)
    flat = flat * relations(flat, w, "position", training=training, kept=kept)[:, None]
    channel = relations(flat.transpose(0, 2, 1), w, "channel", training=training)
    return (flat * channel[:, :, None]).reshape(x.shape)


@pytest.mark.parametrize("grid", [(9,), (4, 6), (2, 3, 4)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("reduction", [2, 8])
def test_equals_formula(grid, training, reduction, randomise):
    module = build("rga", 16, spatial_dims=len(grid), grid=grid, reduction=reduction)
    module = randomise(module).double()
    weights = weights_of(module)
    x = torch.randn(3, 16, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach().numpy()
    expected = reference(x.numpy(), weights, training=training)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


@pytest.mark.parametrize("reduction", [2, 4])
def test_padding_relates_to_nothing(reduction, randomise):
    module = build("rga", 16, spatial_dims=2, grid=(4, 5), reduction=reduction)
    module = randomise(module).double().eval()
    x = torch.randn(3, 16, 4, 5, dtype=torch.float64)
    mask = torch.rand(3, 1, 4, 5) < 0.6
    kept = mask.flatten(2).numpy()
    expected = reference((x * mask).numpy(), weights_of(module), training=False, kept=kept)
    out = module(x, mask=mask).detach().numpy()
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


def test_layers_are_as_wide_as_there_are_positions():
    module = build("rga", 64, spatial_dims=2, grid=(16, 8))
    assert module.position.relations[0].weight.shape == (16, 256, 1)
    assert module.position.hidden[0].weight.shape == (2, 17, 1)
    assert module.channel.relations[0].weight.shape == (8, 128, 1)


@pytest.mark.parametrize("grid", [(4,), (4, 0), (2, 3, 4)])
def test_wrong_grid_is_refused(grid):
    with pytest.raises(ValueError, match="grid: expected 2 positive sizes"):
        build("rga", 16, spatial_dims=2, grid=grid)
