from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import (
    batch_norm,
    convolve,
    others,
    sigmoid,
    weights_of,
)
from vidattn.attention import build


def reference(x, w, *, training):
    def gate(index, seen):
        seen = convolve(seen, w, f"convolutions.{index}")
        return sigmoid(batch_norm(seen, w, f"norms.{index}", training=training))[:, 0]

    results = [x * gate(0, np.stack([x.max(1), x.mean(1)], axis=1))[:, None]]
    for axis in range(2, x.ndim):
        rest = others(axis, x.ndim)
        plane = gate(axis - 1, np.stack([x.max(rest), x.mean(rest)], axis=1))
        results.append(x * np.expand_dims(plane, rest))
    return sum(results) / len(results)


@pytest.mark.parametrize("grid", [(5, 8), (3, 5, 8), (1, 4, 6)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_size", [7, 3])
def test_equals_formula(grid, training, kernel_size, randomise):
    module = build("triplet", 9, spatial_dims=len(grid), kernel_size=kernel_size)
    module = randomise(module).double()
    weights = weights_of(module)
    x = torch.randn(3, 9, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach().numpy()
    expected = reference(x.numpy(), weights, training=training)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


def test_statistics_move_by_a_hundredth():
    module = build("triplet", 4, spatial_dims=2).double().train()
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    seen = torch.stack([x.amax(1), x.mean(1)], dim=1)
    expected = 0.01 * module.convolutions[0](seen).mean()
    module(x)
    torch.testing.assert_close(module.norms[0].running_mean[0], expected)


def test_every_axis_has_its_own_gate_where_axes_are_equally_long(randomise):
    """T = H = W: gates that change places show in numbers only."""
    module = randomise(build("triplet", 6, kernel_size=3)).double().eval()
    x = torch.randn(2, 6, 4, 4, 4, dtype=torch.float64)
    expected = reference(x.numpy(), weights_of(module), training=False)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-11, rtol=1e-10)
    for swapped in ((2, 3), (3, 4), (2, 4)):
        assert (module(x.transpose(*swapped)).transpose(*swapped) - module(x)).abs().max() > 1e-3


def test_axes_of_the_same_length_are_told_apart_in_padding(randomise):
    module = randomise(build("triplet", 6, kernel_size=3)).double().eval()
    x = torch.randn(1, 6, 4, 4, 4, dtype=torch.float64)
    for axis in (2, 3, 4):
        shape = [1] * 5
        shape[axis] = 4
        out = module(x, mask=torch.arange(4).lt(3).reshape(shape))
        torch.testing.assert_close(
            out.narrow(axis, 0, 3), module(x.narrow(axis, 0, 3)), atol=1e-12, rtol=1e-12
        )


def test_image_has_three_gates_and_clip_four():
    assert len(build("triplet", 16, spatial_dims=2).convolutions) == 3
    assert len(build("triplet", 16).convolutions) == 4


def test_even_kernel_and_one_axis_are_refused():
    with pytest.raises(ValueError, match="kernel_size: expected 1 odd sizes or one, got 4"):
        build("triplet", 16, kernel_size=4)
    with pytest.raises(ValueError, match="to be 2 or 3, got 1"):
        build("triplet", 16, spatial_dims=1)
