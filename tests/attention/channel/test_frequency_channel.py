from __future__ import annotations

from math import cos, pi, sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build


def cosine(frequency: int, position: int, size: int) -> float:
    return (
        cos(pi * frequency * (position + 0.5) / size) / sqrt(size) * (sqrt(2) if frequency else 1)
    )


def reference(x: np.ndarray, module, pairs, grid: tuple[int, int]) -> np.ndarray:
    """x (N, C, H, W) of the grid's own size."""
    batch, channels = x.shape[:2]
    height, width = grid
    squeeze, excite = (layer.weight.detach().numpy() for layer in (module.squeeze, module.excite))
    z = np.zeros((batch, channels))
    for c in range(channels):
        u, v = pairs[c // (channels // len(pairs))]
        for p in range(height):
            for q in range(width):
                z[:, c] += (
                    x[:, c, p, q]
                    * cosine(u * (height // 7), p, height)
                    * cosine(v * (width // 7), q, width)
                )
    hidden = np.maximum(z @ squeeze.T, 0)
    return 1 / (1 + np.exp(-hidden @ excite.T))


FOUR = [(0, 0), (0, 1), (6, 0), (0, 5)]


@pytest.mark.parametrize("grid", [(7, 7), (14, 8)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("clip", [True, False])
def test_equals_formula(grid, training, clip, randomise):
    module = build("fca", 8, spatial_dims=3 if clip else 2, frequencies=4, grid=grid, reduction=2)
    randomise(module).double().train(training)
    x = torch.randn(3, 8, *([4] if clip else []), *grid, dtype=torch.float64)
    frame = x.mean(2) if clip else x
    weights = reference(frame.numpy(), module, FOUR, grid)
    expected = x * torch.from_numpy(weights).reshape(3, 8, *[1] * (x.ndim - 2))
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("size", [(5, 9), (14, 21)])
def test_other_sizes_are_averaged_over_the_grid(size, randomise):
    module = randomise(build("fca", 8, spatial_dims=2, frequencies=4, reduction=2)).double()
    x = torch.randn(3, 8, *size, dtype=torch.float64)
    pooled = F.adaptive_avg_pool2d(x, 7)
    weights = torch.from_numpy(reference(pooled.numpy(), module, FOUR, (7, 7)))
    torch.testing.assert_close(module(x), x * weights[..., None, None], atol=1e-12, rtol=1e-10)


def test_lowest_frequency_alone_is_squeeze_excitation_of_the_mean_times_the_root_of_the_area():
    module = build("fca", 8, spatial_dims=2, frequencies=1, reduction=2).double()
    x = torch.randn(3, 8, 7, 7, dtype=torch.float64)
    hidden = F.relu(module.squeeze(x.mean((2, 3)) * 7))
    expected = x * module.excite(hidden).sigmoid()[..., None, None]
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


def test_real_positions_stand_for_all():
    """So many times as the frame has positions for each of them; a frame of T is their mean."""
    module = build("fca", 8, frequencies=1, reduction=2).double()
    x = torch.randn(3, 8, 2, 7, 7, dtype=torch.float64)
    kept = torch.rand(3, 1, 2, 7, 7, generator=torch.Generator().manual_seed(0)) < 0.5
    kept[1] = False
    kept[1, 0, 1, 3, 4] = True
    for index in range(3):
        real = x[index, :, kept[index, 0]]
        hidden = F.relu(module.squeeze(real.mean(1) * 7))
        expected = real * module.excite(hidden).sigmoid()[:, None]
        found = module(x, mask=kept)[index, :, kept[index, 0]]
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_own_pairs(randomise):
    pairs = [(3, 2), (0, 6)]
    module = build("fca", 8, spatial_dims=2, frequencies=pairs, reduction=2)
    randomise(module).double()
    x = torch.randn(3, 8, 7, 7, dtype=torch.float64)
    weights = torch.from_numpy(reference(x.numpy(), module, pairs, (7, 7)))
    torch.testing.assert_close(module(x), x * weights[..., None, None], atol=1e-12, rtol=1e-10)


def test_a_constant_has_no_higher_frequency_under_autocast_either():
    module = build("fca", 4, spatial_dims=2, frequencies=[(0, 2), (2, 0), (4, 6), (6, 4)])
    module.squeeze.weight, module.excite.weight = (torch.nn.Parameter(torch.eye(4)),) * 2
    x = torch.tensor([1000.0, -1000.0]).reshape(2, 1, 1, 1).expand(2, 4, 7, 7)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(x), x / 2, rtol=0.01, atol=0)


def test_all_pairs_differ():
    frequencies = build("fca", 32, frequencies=32).frequencies
    assert len({tuple(pair) for pair in frequencies.tolist()}) == 32


def test_weights_are_those_of_squeeze_excitation():
    assert set(build("fca", 32).state_dict()) == {"squeeze.weight", "excite.weight"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frequencies": 3}, "frequencies: expected a number that divides 8 channels, got 3"),
        ({"frequencies": 33}, "frequencies: expected 1 to 32 or pairs, got 33"),
        ({"frequencies": [(0, 7)]}, "frequencies: expected pairs from 0 to 6"),
        ({"frequencies": 4, "grid": 6}, "grid: expected one size or two, at least 7, got 6"),
    ],
)
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build("fca", 8, **settings)
