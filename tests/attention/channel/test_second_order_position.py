from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build


def normalise(x: np.ndarray, norm, *, training: bool) -> np.ndarray:
    """x (N, channels, L)."""
    state = {name: value.numpy() for name, value in norm.state_dict().items()}
    centre = x.mean((0, 2)) if training else state["running_mean"]
    spread = x.var((0, 2)) if training else state["running_var"]
    centred = (x - centre[:, None]) / np.sqrt(spread[:, None] + 1e-5)
    return centred * state["weight"][:, None] + state["bias"][:, None]


def cell_means(z: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(d, T, H, W), (T, H, W) -> (d, T, 8, 8): of what is real in each cell, 0 where nothing is."""
    means = np.zeros((*z.shape[:2], 8, 8))
    spans = [
        [slice(i * size // 8, -(-(i + 1) * size // 8)) for i in range(8)] for size in z.shape[2:]
    ]
    for t, (i, rows), (j, columns) in itertools.product(range(z.shape[1]), *map(enumerate, spans)):
        inside = real[t, rows, columns]
        if inside.any():
            means[:, t, i, j] = z[:, t, rows, columns][:, inside].mean(1)
    return means


def reference(x: np.ndarray, module, *, training: bool, compat: bool, real=None) -> np.ndarray:
    """x (N, C, T, H, W), real (T, H, W)."""
    real = np.ones(x.shape[2:], dtype=bool) if real is None else real
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    flat = x.reshape(*x.shape[:2], -1)
    z = np.einsum("dc,ncl->ndl", state["reduce.weight"], flat) + state["reduce.bias"][:, None]
    z = normalise(z, module.norm, training=training).reshape(len(x), -1, *x.shape[2:])
    batch = len(z)
    matrix = np.empty((batch, 64, 64))
    for n in range(batch):
        pooled = cell_means(z[n], real)[:, real.any((1, 2))]
        seen = pooled.reshape(-1, 64)  # one row an observation
        if compat:
            size, samples = 64, seen.shape[0]
            centring = np.eye(samples) / size - np.ones((samples, samples)) / size**2
            matrix[n] = seen.T @ centring @ seen
        else:
            matrix[n] = np.cov(seen.T, bias=True)
    rows = normalise(matrix, module.rows.norm, training=training)
    kernel, bias = state["rows.convolution.weight"], state["rows.convolution.bias"]
    numbers = np.empty((batch, 256))
    for out in range(256):
        numbers[:, out] = rows[:, out // 4] @ kernel[out, 0] + bias[out]
    score = np.maximum(numbers, 0) @ state["excite.weight"].T + state["excite.bias"]
    weights = torch.from_numpy(1 / (1 + np.exp(-score))).reshape(batch, 1, 8, 8)
    return x * F.adaptive_avg_pool2d(weights, x.shape[3:]).numpy()[:, :, None]


@pytest.mark.parametrize("grid", [(16, 8), (9, 11), (5, 7)])
@pytest.mark.parametrize("frames", [None, 1, 3])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("compat", [True, False])
def test_equals_formula(grid, frames, training, compat, randomise):
    clip = frames is not None
    module = build(
        "gsop_position", 6, spatial_dims=3 if clip else 2, hidden_channels=5, compat=compat
    )
    randomise(module).double().train(training)
    x = torch.randn(3, 6, frames or 1, *grid, dtype=torch.float64) + 1
    expected = reference(x.numpy(), module, training=training, compat=compat)
    out = module(x) if clip else module(x.squeeze(2)).unsqueeze(2)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_a_frame_of_padding_is_no_observation(randomise):
    module = randomise(build("gsop_position", 6, hidden_channels=5)).double().eval()
    x = torch.randn(2, 6, 4, 9, 8, dtype=torch.float64)
    kept = torch.tensor([True, False, True, True])
    out = module(x, mask=kept.reshape(1, 1, 4, 1, 1))
    torch.testing.assert_close(out[:, :, kept], module(x[:, :, kept]), atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("compat", [True, False])
def test_cells_are_means_of_what_is_real(compat, randomise):
    module = build("gsop_position", 6, hidden_channels=5, compat=compat)
    randomise(module).double().eval()
    x = torch.randn(2, 6, 3, 9, 11, dtype=torch.float64)
    mask = torch.rand(3, 9, 11) < 0.3
    mask[1] = False
    expected = reference(x.numpy(), module, training=False, compat=compat, real=mask.numpy())
    out = module(x, mask=mask[None, None])
    torch.testing.assert_close(out, torch.from_numpy(expected) * mask, atol=1e-12, rtol=1e-10)
