from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vidattn.attention import record_maps
from vidattn.attention.pooling import AttentionPooling, PositionScore, pool

GRIDS = [(6,), (3, 4), (2, 3, 2)]


def scores_of(x: np.ndarray, module: PositionScore) -> np.ndarray:
    """x (L, C): s = w · tanh(V x + b), times σ(U x + c) if gated, position by position."""
    found = {name: value.detach().numpy() for name, value in module.named_parameters()}
    scores = []
    for row in x:
        hidden = np.tanh(found["hidden.weight"] @ row + found["hidden.bias"])
        if "gate.weight" in found:
            hidden = hidden / (1 + np.exp(-found["gate.weight"] @ row - found["gate.bias"]))
        scores.append((found["score.weight"] @ hidden).item())
    return np.array(scores)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_equals_loops(grid, gated, padded, randomise):
    module = randomise(AttentionPooling(5, hidden_channels=7, gated=gated)).double()
    x = torch.randn(3, 5, *grid, dtype=torch.float64)
    mask = torch.rand(3, 1, *grid) < 0.6 if padded else torch.ones(3, 1, *grid).bool()
    mask[:, :, 0] = True
    with record_maps(module) as maps:
        out = module(x, mask=mask if padded else None)
    shown = maps[0].values.flatten(1)
    for sample in range(3):
        rows = x[sample].flatten(1).T.numpy()
        real = mask[sample].flatten().numpy()
        scores = scores_of(rows, module.score)
        powers = np.array([math.exp(s) if r else 0 for s, r in zip(scores, real, strict=True)])
        weights = powers / powers.sum()
        mean = sum(weight * row for weight, row in zip(weights, rows, strict=True))
        close = {"atol": 1e-12, "rtol": 1e-10}
        np.testing.assert_allclose(out.features[sample].detach(), mean, **close)
        np.testing.assert_allclose(out.weights[sample].flatten().detach(), weights, **close)
        np.testing.assert_allclose(shown[sample], weights, **close)
        ours = out.scores[sample].flatten().detach().numpy()
        np.testing.assert_allclose(ours[real], scores[real], **close)
        assert (ours[~real] == np.finfo(np.float64).min).all()


def test_default_width_and_score_without_gate():
    module = AttentionPooling(5)
    assert module.score.hidden.out_features == 128
    assert module.score.gate is None
    assert module.score.score.bias is None


def test_weights_stay_single_where_features_are_half():
    x = torch.randn(2, 4, 3, dtype=torch.bfloat16)
    pooled = pool(x, torch.randn(2, 3), None)
    assert pooled.features.dtype == torch.bfloat16
    assert pooled.weights.dtype == pooled.scores.dtype == torch.float32
    assert PositionScore(4, hidden_channels=2, gated=True).bfloat16()(x).dtype == torch.float32
