from __future__ import annotations

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


def reference(x: np.ndarray, module, *, training: bool, compat: bool) -> np.ndarray:
    """x (N, C, T, H, W)."""
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    flat = x.reshape(*x.shape[:2], -1)
    z = np.einsum("dc,ncl->ndl", state["reduce.weight"], flat) + state["reduce.bias"][:, None]
    z = normalise(z, module.norm, training=training).reshape(len(x), -1, *x.shape[2:])
    batch, width, frames = z.shape[:3]
    matrix = np.empty((batch, 64, 64))
    for n in range(batch):
        pooled = F.adaptive_avg_pool2d(torch.from_numpy(z[n]), 8).numpy()
        seen = pooled.reshape(width * frames, 64)  # one row an observation
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
