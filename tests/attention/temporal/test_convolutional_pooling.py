from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("normaliser", ["softmax", "sigmoid"])
@pytest.mark.parametrize("compat", [True, False])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_in_loops(frames, normaliser, compat, kernel, training, randomise):
    module = build(
        "gao_nevatia",
        8,
        spatial_dims=1,
        hidden_channels=5,
        kernel=kernel,
        normaliser=normaliser,
        compat=compat,
    )
    module = randomise(module).double().train(training)
    x = torch.randn(3, 8, frames, dtype=torch.float64)
    pooled = module(x)
    for n in range(3):
        scores = frame_scores(module.state_dict(), x[n])
        if compat:
            scores = [max(score, 0.0) for score in scores]
        if normaliser == "softmax":
            powers = [math.exp(score) for score in scores]
        else:
            powers = [1 / (1 + math.exp(-score)) for score in scores]
        weights = torch.tensor(powers, dtype=torch.float64) / sum(powers)
        features = sum(weights[t] * x[n, :, t] for t in range(frames))
        torch.testing.assert_close(pooled.weights[n], weights, atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(pooled.features[n], features, atol=1e-12, rtol=1e-10)


def test_only_compat_makes_all_low_frames_alike():
    x = torch.randn(2, 8, 6)
    for compat in (True, False):
        module = build("gao_nevatia", 8, spatial_dims=1, compat=compat)
        with torch.no_grad():
            module.score.bias.fill_(-100)
        assert (module(x).weights.std(1) < 1e-7).all() == compat


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="kernel: expected an odd size, got 4"):
        build("gao_nevatia", 8, spatial_dims=1, kernel=4)
    with pytest.raises(ValueError, match="normaliser: expected 'softmax' or 'sigmoid'"):
        build("gao_nevatia", 8, spatial_dims=1, normaliser="l1")


def frame_scores(state, frames):
    """One sample (C, T) -> T numbers."""
    hidden = state["hidden.weight"][:, :, 0] @ frames + state["hidden.bias"][:, None]
    hidden = hidden.clamp(min=0)
    scores = []
    for t in range(frames.shape[1]):
        score = float(state["score.bias"])
        for k, taps in enumerate(state["score.weight"][0].T):
            seen = t + k - state["score.weight"].shape[2] // 2
            if 0 <= seen < frames.shape[1]:
                score += float(taps @ hidden[:, seen])
        scores.append(score)
    return scores
