from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def normalise(x: np.ndarray, norm, *, training: bool) -> np.ndarray:
    """x (N, channels, L)."""
    state = {name: value.numpy() for name, value in norm.state_dict().items()}
    centre = x.mean((0, 2)) if training else state["running_mean"]
    spread = x.var((0, 2)) if training else state["running_var"]
    centred = (x - centre[:, None]) / np.sqrt(spread[:, None] + 1e-5)
    return centred * state["weight"][:, None] + state["bias"][:, None]


def reference(x: np.ndarray, module, *, training: bool) -> np.ndarray:
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    flat = x.reshape(*x.shape[:2], -1)
    z = np.einsum("dc,ncl->ndl", state["reduce.weight"], flat) + state["reduce.bias"][:, None]
    z = np.maximum(normalise(z, module.norm, training=training), 0)
    batch, width, positions = z.shape
    matrix = np.empty((batch, width, width))
    centring = np.eye(positions) / positions - np.ones((positions, positions)) / positions**2
    for n in range(batch):
        matrix[n] = z[n] @ centring @ z[n].T
    rows = normalise(matrix, module.rows.norm, training=training)
    kernel, bias = state["rows.convolution.weight"], state["rows.convolution.bias"]
    numbers = np.empty((batch, 4 * width))
    for row in range(width):
        for j in range(4):
            numbers[:, 4 * row + j] = rows[:, row] @ kernel[4 * row + j, 0] + bias[4 * row + j]
    score = numbers @ state["excite.weight"].T + state["excite.bias"]
    weights = 1 / (1 + np.exp(-score))
    return x * weights.reshape(*weights.shape, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("grid", [(9,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = build("gsop", 8, spatial_dims=len(grid), hidden_channels=5)
    randomise(module).double().train(training)
    x = torch.randn(3, 8, *grid, dtype=torch.float64) + 1
    expected = reference(x.numpy(), module, training=training)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_width_is_the_papers_where_there_are_enough_channels():
    assert build("gsop", 256).reduce.out_features == 128
    assert build("gsop", 24).reduce.out_features == 24
