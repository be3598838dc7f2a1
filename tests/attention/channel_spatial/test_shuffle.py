from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import sigmoid, weights_of
from vidattn.attention import build, record_maps


def reference(x, w, groups):
    width = x.shape[1] // (2 * groups)
    parts = []
    for group in np.split(x, groups, axis=1):
        for c in range(2 * width):
            one, i = group[:, c], c % width
            axes = tuple(range(1, one.ndim))
            mean = one.mean(axes, keepdims=True)
            if c < width:
                gate = mean * w["channel_scale"][i] + w["channel_shift"][i]
            else:
                normed = (one - mean) / np.sqrt(one.var(axes, keepdims=True) + 1e-5)
                normed = normed * w["norm_scale"][i] + w["norm_shift"][i]
                gate = normed * w["position_scale"][i] + w["position_shift"][i]
            parts.append(one * sigmoid(gate))
    half = len(parts) // 2
    mixed = [one for pair in zip(parts[:half], parts[half:], strict=True) for one in pair]
    return np.stack(mixed, axis=1)


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("channels", "groups"), [(24, 2), (24, 4), (16, 8)])
def test_equals_formula(grid, training, channels, groups, randomise):
    module = build("shuffle", channels, spatial_dims=len(grid), groups=groups)
    module = randomise(module).double().train(training)
    x = torch.randn(3, channels, *grid, dtype=torch.float64)
    expected = reference(x.numpy(), weights_of(module), groups)
    np.testing.assert_allclose(module(x).detach(), expected, atol=1e-12, rtol=1e-10)


def test_map_is_in_the_order_of_the_input(randomise):
    module = randomise(build("shuffle", 8, spatial_dims=1, groups=2)).double()
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    with record_maps(module) as maps:
        out = module(x)
    before = out[:, [0, 2, 4, 6, 1, 3, 5, 7]]
    torch.testing.assert_close(x * maps[0].values[..., 0, 0], before)


def test_default_is_the_paper_where_it_fits():
    assert build("shuffle", 256).groups == 64
    assert build("shuffle", 48).groups == 8


@pytest.mark.parametrize(("channels", "groups"), [(7, None), (16, 16), (24, 8)])
def test_channels_that_do_not_fit_are_refused(channels, groups):
    with pytest.raises(ValueError, match="channels: expected a multiple of twice the groups"):
        build("shuffle", channels, groups=groups)
