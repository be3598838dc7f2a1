from __future__ import annotations

import pytest
import torch
from torchvision.ops import SqueezeExcitation as Reference

from vidattn.attention import build


@pytest.mark.parametrize("grid", [(6,), (6, 4, 3), (1, 4, 3)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("training", [True, False])
def test_filters_equal_the_formula_in_loops(grid, kernel, training, randomise):
    module = build("temporal_se", 8, spatial_dims=len(grid), kernel=kernel)
    module = randomise(module).double().train(training)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    state = module.state_dict()
    means = x.transpose(1, 2).reshape(3, grid[0], -1).mean(2)
    hidden = convolve(means.unsqueeze(1), state["squeeze.weight"], state["squeeze.bias"])
    scores = convolve(hidden.clamp(min=0), state["excite.weight"], state["excite.bias"])
    weights = 1 / (1 + torch.exp(-scores))
    expected = x * weights.reshape(3, 1, grid[0], *[1] * (len(grid) - 1))
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("grid", [(6,), (6, 4, 3)])
def test_full_form_equals_torchvision_with_time_for_channels(grid, randomise):
    module = build("temporal_se", 8, spatial_dims=len(grid), frames=6, hidden_units=3)
    module = randomise(module).double()
    theirs = Reference(6, 3).double()
    with torch.no_grad():
        for one, other in ((module.squeeze, theirs.fc1), (module.excite, theirs.fc2)):
            other.weight.copy_(one.weight[:, :, None, None])
            other.bias.copy_(one.bias)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected = theirs(x.transpose(1, 2).reshape(3, 6, 8, -1)).reshape(3, 6, 8, *grid[1:])
    torch.testing.assert_close(module(x), expected.transpose(1, 2), atol=1e-12, rtol=1e-12)


def test_full_form_takes_means_of_real_positions(randomise):
    """The hidden units stand for no frames: no mask belongs to them."""
    module = build("temporal_se", 8, spatial_dims=1, frames=4, hidden_units=3)
    module = randomise(module).double()
    x = torch.randn(2, 8, 4, dtype=torch.float64)
    mask = torch.tensor([[[True, True, False, False]]])
    means = (x * mask).mean(1)
    hidden = (means @ module.squeeze.weight.T + module.squeeze.bias).clamp(min=0)
    scores = hidden @ module.excite.weight.T + module.excite.bias
    expected = x * (1 / (1 + torch.exp(-scores))).unsqueeze(1) * mask
    torch.testing.assert_close(module(x, mask=mask), expected, atol=1e-12, rtol=1e-12)


def test_full_form_refuses_another_length():
    with pytest.raises(ValueError, match="expected x with T = 6 frames, got 5"):
        build("temporal_se", 8, frames=6)(torch.zeros(1, 8, 5, 2, 2))


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel: expected an odd size, got 2"):
        build("temporal_se", 8, kernel=2)


def convolve(x, weight, bias):
    """(N, K, T) with (J, K, size), zeros beyond the ends."""
    batch, _, frames = x.shape
    size = weight.shape[2]
    result = bias.reshape(1, -1, 1).expand(batch, -1, frames).clone()
    for t in range(frames):
        for k in range(size):
            if 0 <= t + k - size // 2 < frames:
                result[:, :, t] += x[:, :, t + k - size // 2] @ weight[:, :, k].T
    return result
