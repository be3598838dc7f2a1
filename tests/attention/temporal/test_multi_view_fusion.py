from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(5,), (5, 4, 3), (1, 2, 1)])
@pytest.mark.parametrize("fraction", [0.5, 0.3, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_axis_by_axis(grid, fraction, training, randomise, normalise):
    module = build("mvf", 10, spatial_dims=len(grid), fraction=fraction)
    module = randomise(module).double().train(training)
    x = torch.randn(3, 10, *grid, dtype=torch.float64)
    expected, response = reference(module.state_dict(), x, normalise, training=training)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)
    with record_maps(module) as maps:
        module(x)
    assert maps[0].kind == "response"
    torch.testing.assert_close(maps[0].values.reshape(3, *grid), response)


@pytest.mark.parametrize("fraction", [0.05, 1.2])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction: expected at least one of 10 channels"):
        build("mvf", 10, fraction=fraction)


def reference(state, x, normalise, *, training):
    """The result, and the mean magnitude of what was filtered."""
    filtered = len(state["norm.weight"])
    total = torch.zeros_like(x[:, :filtered])
    for axis in range(x.ndim - 2):
        taps = state["kernels"][axis]
        for position in range(x.shape[2 + axis]):
            for k in range(3):
                source = position + k - 1
                if 0 <= source < x.shape[2 + axis]:
                    values = x[:, :filtered].select(2 + axis, source)
                    shape = (1, filtered, *[1] * (values.ndim - 2))
                    total.select(2 + axis, position).add_(taps[:, k].reshape(shape) * values)
    total = normalise(total, state, "norm", training=training)
    total = total * (total + 3).clamp(0, 6) / 6
    return torch.cat([total, x[:, filtered:]], 1), total.abs().mean(1)
