from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from vidattn.attention import build


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(gated, training, randomise):
    module = build("joint_attention_pooling", 8, gated=gated, hidden_channels=5)
    randomise(module).double().train(training)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 8, 4, 2, 5, dtype=torch.float64)
    out = module(x)
    tokens = x.numpy().reshape(3, 8, 40).transpose(0, 2, 1)
    hidden = np.tanh(tokens @ w["score.hidden.weight"].T + w["score.hidden.bias"])
    if gated:
        gate = tokens @ w["score.gate.weight"].T + w["score.gate.bias"]
        hidden = hidden / (1 + np.exp(-gate))
    scores = hidden @ w["score.score.weight"][0]
    weights = softmax(scores, axis=1)
    close = {"atol": 1e-12, "rtol": 1e-12}
    np.testing.assert_allclose(out.scores.detach().reshape(3, 40), scores, **close)
    np.testing.assert_allclose(out.weights.detach().reshape(3, 40), weights, **close)
    features = (tokens * weights[:, :, None]).sum(1)
    np.testing.assert_allclose(out.features.detach(), features, **close)

    frames = scores.reshape(3, 4, 10)
    np.testing.assert_allclose(out.frame_scores.detach(), logsumexp(frames, axis=2), **close)
    np.testing.assert_allclose(
        out.frame_weights.detach(), weights.reshape(3, 4, 10).sum(2), **close
    )
    regions = softmax(frames, axis=2).reshape(3, 4, 2, 5)
    np.testing.assert_allclose(out.region_weights.detach(), regions, **close)


def test_frame_scores_do_not_depend_on_the_other_frames(randomise):
    module = randomise(build("joint_attention_pooling", 8)).double()
    x = torch.randn(1, 8, 6, 3, 3, dtype=torch.float64)
    whole, window = module(x), module(x[:, :, 2:5])
    torch.testing.assert_close(window.frame_scores, whole.frame_scores[:, 2:5])
    torch.testing.assert_close(window.region_weights, whole.region_weights[:, 2:5])


def test_region_weights_are_zero_at_padding(randomise):
    module = randomise(build("joint_attention_pooling", 8)).double()
    mask = torch.tensor([True, False, True]).reshape(1, 1, 3, 1, 1)
    out = module(torch.randn(2, 8, 3, 2, 2, dtype=torch.float64), mask=mask)
    assert (out.region_weights[:, 1] == 0).all()
    torch.testing.assert_close(
        out.region_weights.sum((2, 3)), torch.tensor([[1.0, 0.0, 1.0]] * 2, dtype=torch.float64)
    )
