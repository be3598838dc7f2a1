from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


def reference(x, w):
    """(C, H, W) -> the pooled vector and the weights (H, W), position by position."""
    scores = torch.empty(x.shape[1:], dtype=x.dtype)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            h = (w["score.hidden.weight"] @ x[:, i, j] + w["score.hidden.bias"]).tanh()
            scores[i, j] = w["score.score.weight"][0] @ h
    weights = scores.exp() / scores.exp().sum()
    return (x * weights).sum((1, 2)), weights


@pytest.mark.parametrize("training", [True, False])
def test_equals_formula_in_each_frame(training, randomise):
    view = build("spatial_attention_pooling", 8, scope="frame", hidden_channels=5)
    randomise(view).double().train(training)
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    with record_maps(view) as maps:
        out = view(x)
    assert out.features.shape == (2, 8, 3)
    assert maps[0].values.shape == (2, 1, 3, 4, 5)
    for n in range(2):
        for t in range(3):
            features, weights = reference(x[n, :, t], view.module.state_dict())
            torch.testing.assert_close(out.features[n, :, t], features)
            torch.testing.assert_close(out.weights[n, t], weights)
            torch.testing.assert_close(maps[0].values[n, 0, t], weights)
    torch.testing.assert_close(out.region_weights, out.weights)
