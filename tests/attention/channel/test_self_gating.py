from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def reference(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    for n in range(len(x)):
        means = np.array([channel.mean() for channel in x[n]])
        for c in range(x.shape[1]):
            score = sum(weight[c, k] * means[k] for k in range(x.shape[1])) + bias[c]
            out[n, c] = x[n, c] / (1 + np.exp(-score))
    return out


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = randomise(build("self_gating", 10, spatial_dims=len(grid))).double().train(training)
    x = torch.randn(3, 10, *grid, dtype=torch.float64)
    expected = reference(
        x.numpy(), module.excite.weight.detach().numpy(), module.excite.bias.detach().numpy()
    )
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_looks_at_the_whole_clip_not_at_each_frame(randomise):
    clip = randomise(build("self_gating", 10)).double()
    frame = randomise(build("self_gating", 10, scope="frame")).double()
    x = torch.randn(1, 10, 4, 5, 3, dtype=torch.float64)
    assert not torch.allclose(clip(x), frame(x))
    still = x[:, :, :1].expand(-1, -1, 4, -1, -1)
    torch.testing.assert_close(clip(still), frame(still))
