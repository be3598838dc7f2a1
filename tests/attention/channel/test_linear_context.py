from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def reference(x: np.ndarray, module, groups: int) -> np.ndarray:
    weight, bias = (value.detach().numpy() for value in (module.weight, module.bias))
    out = np.empty_like(x)
    size = x.shape[1] // groups
    for n in range(len(x)):
        means = np.array([channel.mean() for channel in x[n]])
        for c in range(x.shape[1]):
            group = means[c // size * size : (c // size + 1) * size]
            spread = ((group - group.mean()) ** 2).mean()
            normalised = (means[c] - group.mean()) / np.sqrt(spread + 1e-5)
            out[n, c] = x[n, c] / (1 + np.exp(-(weight[c] * normalised + bias[c])))
    return out


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
def test_equals_formula(grid, training, groups, randomise):
    module = build("lct", 12, spatial_dims=len(grid), groups=groups)
    randomise(module).double().train(training)
    x = torch.randn(3, 12, *grid, dtype=torch.float64)
    np.testing.assert_allclose(
        module(x).detach().numpy(), reference(x.numpy(), module, groups), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    ("channels", "groups"), [(256, 64), (128, 64), (64, 32), (24, 4), (7, 1), (1, 1)]
)
def test_groups_of_two_channels_or_more(channels, groups):
    assert build("lct", channels).groups == groups


@pytest.mark.parametrize(("settings", "start"), [({}, 1.0), ({"weight": 1.0, "bias": 0.0}, 0.0)])
def test_start_can_be_chosen(settings, start):
    module = build("lct", 8, **settings)
    assert (module.bias == start).all()
    assert (module.weight == 1 - start).all()


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="groups: expected a divisor of 8, got 3"):
        build("lct", 8, groups=3)
