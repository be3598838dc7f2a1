from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from vidattn.attention import build


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(gated, training, randomise):
    module = build("factorised_attention_pooling", 8, gated=gated, hidden_channels=5)
    randomise(module).double().train(training)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 8, 4, 2, 5, dtype=torch.float64)
    out = module(x)

    def score(tokens, prefix):
        hidden = np.tanh(tokens @ w[f"{prefix}.hidden.weight"].T + w[f"{prefix}.hidden.bias"])
        if gated:
            gate = tokens @ w[f"{prefix}.gate.weight"].T + w[f"{prefix}.gate.bias"]
            hidden = hidden / (1 + np.exp(-gate))
        return hidden @ w[f"{prefix}.score.weight"][0]

    tokens = x.numpy().transpose(0, 2, 3, 4, 1).reshape(3, 4, 10, 8)
    regions = softmax(score(tokens, "region_score"), axis=2)
    vectors = (tokens * regions[..., None]).sum(2)
    frame_scores = score(vectors, "frame_score")
    frames = softmax(frame_scores, axis=1)
    close = {"atol": 1e-12, "rtol": 1e-12}
    features = (vectors * frames[..., None]).sum(1)
    np.testing.assert_allclose(out.features.detach(), features, **close)
    np.testing.assert_allclose(out.frame_scores.detach(), frame_scores, **close)
    np.testing.assert_allclose(out.frame_weights.detach(), frames, **close)
    np.testing.assert_allclose(out.region_weights.detach(), regions.reshape(3, 4, 2, 5), **close)
    joint = softmax(out.scores.detach().flatten(1).numpy(), axis=1)
    np.testing.assert_allclose(out.weights.detach().flatten(1), joint, **close)
