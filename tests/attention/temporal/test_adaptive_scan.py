from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("frames", [1, 2, 7])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_recursion(frames, training, randomise):
    module = build("adascan", 8, spatial_dims=1, hidden_channels=(6, 3))
    module = randomise(module).double().train(training)
    x = torch.randn(3, 8, frames, dtype=torch.float64)
    pooled = module(x)
    for n in range(3):
        state, importances = reference(module.state_dict(), x[n])
        torch.testing.assert_close(pooled.features[n], state, atol=1e-12, rtol=1e-10)
        expected = importances / importances.sum()
        torch.testing.assert_close(pooled.weights[n], expected, atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(pooled.scores[n].exp(), importances, atol=1e-12, rtol=1e-10)


def test_padding_is_passed_over_wherever_it_is(randomise):
    module = randomise(build("adascan", 8, spatial_dims=1)).double()
    x = torch.randn(1, 8, 7, dtype=torch.float64)
    kept = [2, 3, 5]
    mask = torch.zeros(1, 1, 7, dtype=torch.bool)
    mask[:, :, kept] = True
    padded, alone = module(x, mask=mask), module(x[:, :, kept])
    torch.testing.assert_close(padded.features, alone.features)
    torch.testing.assert_close(padded.weights[:, kept], alone.weights)
    torch.testing.assert_close(padded.scores[:, kept], alone.scores)


def test_order_matters(randomise):
    module = randomise(build("adascan", 8, spatial_dims=1)).double()
    x = torch.randn(1, 8, 6, dtype=torch.float64)
    assert not torch.allclose(module(x).features, module(x.flip(2)).features)


def test_both_widths_can_be_chosen():
    module = build("adascan", 8, spatial_dims=1, hidden_channels=(6, 3))
    assert (module.wide.out_features, module.narrow.out_features) == (6, 3)


def test_default_widths_are_those_of_the_authors_at_their_size():
    module = build("adascan", 64, spatial_dims=1)
    assert (module.wide.out_features, module.narrow.out_features) == (32, 8)


def reference(state, frames):
    """One sample (C, T) -> the last state (C,) and the importances (T,)."""

    def linear(values, name):
        return state[f"{name}.weight"] @ values + state[f"{name}.bias"]

    pooled, total, importances = frames[:, 0], 1.0, [1.0]
    for t in range(1, frames.shape[1]):
        hidden = torch.tanh(linear(frames[:, t] - pooled, "wide"))
        score = float(linear(torch.tanh(linear(hidden, "narrow")), "score"))
        importance = 1 / (1 + math.exp(-score))
        pooled = (total * pooled + importance * frames[:, t]) / (total + importance)
        total += importance
        importances.append(importance)
    return pooled, torch.tensor(importances, dtype=torch.float64)
