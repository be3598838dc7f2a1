from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(gated, training, randomise):
    module = build("temporal_attention_pooling", 12, spatial_dims=1, gated=gated, hidden_channels=5)
    randomise(module).double().train(training)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 12, 7, dtype=torch.float64)
    out = module(x)
    for n, bag in enumerate(x.numpy()):
        scores = np.empty(7)
        for t in range(7):
            h = np.tanh(w["score.hidden.weight"] @ bag[:, t] + w["score.hidden.bias"])
            if gated:
                h *= 1 / (1 + np.exp(-w["score.gate.weight"] @ bag[:, t] - w["score.gate.bias"]))
            scores[t] = w["score.score.weight"][0] @ h
        weights = np.exp(scores) / np.exp(scores).sum()
        close = {"atol": 1e-12, "rtol": 1e-12}
        np.testing.assert_allclose(out.scores[n].detach(), scores, **close)
        np.testing.assert_allclose(out.weights[n].detach(), weights, **close)
        np.testing.assert_allclose(out.features[n].detach(), bag @ weights, **close)
    assert torch.equal(out.frame_scores, out.scores)
    assert torch.equal(out.frame_weights, out.weights)


def test_padding_is_the_least_of_all_scores(randomise):
    module = randomise(build("temporal_attention_pooling", 12, spatial_dims=1))
    mask = torch.tensor([True, True, False, True])[None, None]
    scores = module(torch.randn(2, 12, 4), mask=mask).frame_scores
    assert scores.isfinite().all()
    assert (scores.argmin(1) == 2).all()


def test_a_clip_that_still_has_space_is_refused():
    with pytest.raises(ValueError, match=r"expected spatial_dims .* to be 1, got 3"):
        build("temporal_attention_pooling", 12)
