from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps

# Everything on clips (N, C, T, H, W) and masks (N, T, H, W); an image has T = 1.


def normalise(x, w, name, *, training):
    centre = x.mean((0, 2, 3, 4)) if training else w[f"{name}.running_mean"]
    spread = x.var((0, 2, 3, 4)) if training else w[f"{name}.running_var"]
    out = (x - centre[:, None, None, None]) / np.sqrt(spread[:, None, None, None] + 1e-5)
    return out * w[f"{name}.weight"][:, None, None, None] + w[f"{name}.bias"][:, None, None, None]


def convolve(x, kernel):
    """Zeros beyond the border; a kernel of an image is the middle moment of a clip's."""
    kernel = kernel[:, :, None] if kernel.ndim == 4 else kernel
    sides = [size // 2 for size in kernel.shape[2:]]
    padded = np.pad(x, [(0, 0), (0, 0), *((side, side) for side in sides)])
    out = np.zeros((len(x), len(kernel), *x.shape[2:]))
    for tap in itertools.product(*map(range, kernel.shape[2:])):
        part = tuple(slice(a, a + size) for a, size in zip(tap, x.shape[2:], strict=True))
        out += np.einsum("ncthw,oc->nothw", padded[(..., *part)], kernel[(..., *tap)])
    return out


def unit(x, real, w, name, *, training):
    seen = x
    for index in range(3):
        seen = np.maximum(normalise(seen, w, f"{name}.norms.{index}", training=training), 0)
        seen = convolve(seen * real[:, None], w[f"{name}.convolutions.{index}.weight"])
    return x + seen * real[:, None]


def halve(x, real):
    """Position by position, of what is real around it."""
    batch, channels, frames, height, width = x.shape
    sizes = (frames, (height + 1) // 2, (width + 1) // 2)
    out, kept = np.zeros((batch, channels, *sizes)), np.zeros((batch, *sizes), dtype=bool)
    for n, t, i, j in itertools.product(range(batch), *map(range, sizes)):
        rows, columns = slice(max(0, 2 * i - 1), 2 * i + 2), slice(max(0, 2 * j - 1), 2 * j + 2)
        kept[n, t, i, j] = real[n, t, rows, columns].any()
        moments = slice(max(0, t - 1), t + 2)
        inside = real[n, moments, rows, columns]
        if kept[n, t, i, j]:
            out[n, :, t, i, j] = x[n, :, moments, rows, columns][:, inside].max(1)
    return out, kept


def stretch(x, sizes):
    """Linear along rows and columns, between centres, the outermost repeated."""
    for axis, size in zip((3, 4), sizes, strict=True):
        place = (np.arange(size) + 0.5) * x.shape[axis] / size - 0.5
        place = place.clip(0, x.shape[axis] - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        shape = [1] * 5
        shape[axis] = size
        share = (place - low).reshape(shape)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def branch(x, real, w, level, depth, *, training):
    halved, kept = halve(x, real)
    seen = unit(halved, kept, w, f"down.{level}", training=training)
    if level < depth - 1:
        across = unit(seen, kept, w, f"across.{level}", training=training)
        seen = across + branch(seen, kept, w, level + 1, depth, training=training)
    seen = unit(seen, kept, w, f"up.{level}", training=training) * kept[:, None]
    return stretch(seen, x.shape[3:]) * real[:, None]


def reference(x, real, w, depth, *, training):
    seen = branch(x, real, w, 0, depth, training=training)
    for index in range(2):
        seen = np.maximum(normalise(seen, w, f"norms.{index}", training=training), 0)
        seen = convolve(seen * real[:, None], w[f"pointwise.{index}.weight"])
    return 1 + 1 / (1 + np.exp(-seen - w["pointwise.1.bias"][:, None, None, None]))


@pytest.mark.parametrize("grid", [(7, 10), (3, 5, 6)])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("padded", "training"), [(True, False), (False, False), (False, True), (True, True)]
)
def test_equals_formula(grid, depth, padded, training, randomise):
    module = build("residual_attention", 8, spatial_dims=len(grid), depth=depth)
    module = randomise(module).double().train(training).requires_grad_(False)
    w = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.5 if padded else 2)
    x = x.masked_fill(~mask, 1e30)
    with record_maps(module) as maps:
        out = module(x, mask=mask if padded else None)
    clip = x if len(grid) == 3 else x.unsqueeze(2)
    real = (mask if len(grid) == 3 else mask.unsqueeze(2)).squeeze(1).numpy()
    seen = clip.numpy() * real[:, None]
    weights = reference(seen, real, w, depth, training=training) * real[:, None]
    np.testing.assert_allclose(maps[0].values, weights, atol=1e-12, rtol=1e-10)
    expected = (seen * weights).reshape(x.shape)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-12, rtol=1e-10)


def test_units_narrow_to_a_quarter():
    module = build("ran", 64)
    assert module.down[0].convolutions[1].in_channels == 16
    assert len(module.down) == 2


def test_settings_are_checked():
    with pytest.raises(ValueError, match="depth: expected at least 1, got 0"):
        build("ran", 8, depth=0)
    with pytest.raises(ValueError, match="to be 2 or 3, got 1"):
        build("ran", 8, spatial_dims=1)
