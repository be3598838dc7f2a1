from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def softmax(values, axis):
    powers = np.exp(values - values.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def layer_norm(values, w, name):
    away = values - values.mean()
    return away / np.sqrt((away**2).mean() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def channel_weights(x, w, compat, arrangement):
    """x (C, L) -> (C,)."""
    share = softmax(w["channel_query.weight"] @ x, 1)[0]
    read = sum(s * (w["channel_value.weight"] @ one) for s, one in zip(share, x.T, strict=True))
    if compat and arrangement == "parallel":
        return sigmoid(w["channel_output.weight"] @ read)
    out = w["channel_output.0.weight"] @ read + w.get("channel_output.0.bias", 0)
    out = layer_norm(out, w, "channel_output.1")
    if compat:
        out = w["channel_output.3.weight"] @ np.maximum(out, 0) + w["channel_output.3.bias"]
    return sigmoid(out)


def position_weights(x, w, compat, arrangement):
    """x (C, L) -> (L,)."""
    query = (w["position_query.weight"] @ x).mean(1)
    value = w["position_value.weight"] @ x
    if not compat:
        return sigmoid(softmax(query, 0) @ value)
    if arrangement == "parallel":
        return sigmoid(softmax(query @ value, 0))
    return sigmoid(query @ softmax(value, 1))


def reference(x, w, compat, arrangement):
    """x (C, L), real positions only -> the weights (C, L)."""
    channel = channel_weights(x, w, compat, arrangement)[:, None]
    if arrangement == "parallel":
        return channel + position_weights(x, w, compat, arrangement)
    return channel * position_weights(x * channel, w, compat, arrangement)


@pytest.mark.parametrize("grid", [(6,), (4, 3), (2, 3, 2)])
@pytest.mark.parametrize("arrangement", ["parallel", "sequential"])
@pytest.mark.parametrize("compat", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, arrangement, compat, padded, training, randomise):
    settings = {"arrangement": arrangement, "compat": compat}
    module = build("psa", 16, spatial_dims=len(grid), **settings)
    module = randomise(module).double().train(training).requires_grad_(False)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 16, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.6 if padded else 2)
    mask[..., 0] = True
    x = x.masked_fill(~mask, 1e30)
    with record_maps(module) as maps:
        out = module(x, mask=mask if padded else None)
    for n in range(2):
        real = mask[n].flatten()
        tokens = x[n].flatten(1)[:, real].numpy()
        expected = reference(tokens, w, compat, arrangement)
        found = maps[0].values[n].flatten(1)[:, real].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-12, rtol=1e-10)
        got = out[n].flatten(1).numpy()
        np.testing.assert_allclose(got[:, real], tokens * expected, atol=1e-12, rtol=1e-10)
        assert (got[:, ~real] == 0).all()


def test_widths_are_those_of_the_authors():
    module = build("psa", 64, arrangement="sequential", compat=True)
    assert module.channel_value.out_features == module.position_query.out_features == 32
    assert module.position_value.out_features == 32
    narrow, _, _, wide = module.channel_output
    assert (narrow.out_features, wide.out_features) == (8, 64)


def test_half_precision_survives_large_features():
    for arrangement in ("parallel", "sequential"):
        for compat in (True, False):
            module = build("psa", 64, arrangement=arrangement, compat=compat).half()
            x = torch.randn(1, 64, 2, 8, 8).half() * 1000
            assert module(x).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arrangement": "both"}, "arrangement: expected 'parallel' or 'sequential', got 'both'"),
        ({"channels": 1}, "channels: expected at least 2, got 1"),
        (
            {"channels": 7, "arrangement": "sequential", "compat": True},
            "channels: expected at least 8, got 7",
        ),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("polarized", **{"channels": 16, **settings})


@pytest.mark.parametrize(
    ("arrangement", "compat", "fewest"),
    [
        ("parallel", False, 2),
        ("parallel", True, 2),
        ("sequential", False, 2),
        ("sequential", True, 8),
    ],
)
def test_fewest_channels(arrangement, compat, fewest):
    settings = {"arrangement": arrangement, "compat": compat}
    build("polarized", fewest, **settings)
    with pytest.raises(ValueError, match=f"channels: expected at least {fewest}, got {fewest - 1}"):
        build("polarized", fewest - 1, **settings)
