from __future__ import annotations

from math import log

import pytest
import torch

from vidattn.attention import build, record_maps


def softmax(scores):
    powers = (scores - scores.max()).exp()
    return powers / powers.sum()


def layer_norm(x, w, name):
    away = x - x.mean(-1, keepdim=True)
    away = away / (away.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return away * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def reference(w, x, heads, depth, *, scaled):
    """x (L, C), real positions only -> the token, its weights (L,) and logits (heads, L)."""
    token, width = w["token"], x.shape[1] // heads
    for index in range(depth):
        layer = f"layers.{index}"
        seen = layer_norm(torch.cat([token[None], x]), w, f"{layer}.norm")
        query = linear(seen[0], w, f"{layer}.query")
        key, value = linear(seen, w, f"{layer}.key_value").chunk(2, 1)
        read, rows, logits = [], [], []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = torch.stack([query[part] @ one[part] for one in key]) / width**0.5
            read.append(softmax(scores) @ value[:, part])
            rows.append(softmax(scores[1:]))
            logits.append(scores[1:])
        scale = w[f"{layer}.scales.0"] if scaled else 1
        token = token + scale * linear(torch.cat(read), w, f"{layer}.output")
        inner = f"{layer}.feed_forward"
        hidden = linear(layer_norm(token, w, f"{inner}.norm"), w, f"{inner}.widen")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        scale = w[f"{layer}.scales.1"] if scaled else 1
        token = token + scale * linear(hidden, w, f"{inner}.narrow")
    return token, torch.stack(rows).mean(0), torch.stack(logits)


@pytest.mark.parametrize("grid", [(6,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize(("depth", "scale"), [(1, None), (2, 1e-5)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, depth, scale, padded, training, randomise):
    settings = {"heads": 2, "depth": depth, "layer_scale": scale}
    module = build("class_attention", 8, spatial_dims=len(grid), **settings)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.6 if padded else 2)
    mask[..., 0] = True
    x = x.masked_fill(~mask, torch.nan)
    with record_maps(module) as maps:
        out = module(x, mask=mask if padded else None)
    assert torch.equal(maps[0].values.flatten(1), out.weights.flatten(1))
    for n in range(2):
        real = mask[n].flatten()
        tokens = x[n].flatten(1).T[real]
        token, weights, logits = reference(
            module.state_dict(), tokens, 2, depth, scaled=scale is not None
        )
        close = {"atol": 1e-12, "rtol": 1e-12}
        torch.testing.assert_close(out.features[n], token, **close)
        torch.testing.assert_close(out.weights[n].flatten()[real], weights, **close)
        scores = out.scores[n].flatten()[real]
        torch.testing.assert_close(scores.softmax(0), weights, **close)
        level = logits.logsumexp((0, 1)) - log(2)
        torch.testing.assert_close(scores.logsumexp(0), level, **close)


@pytest.mark.oracle
@pytest.mark.parametrize("bias", [True, False])
def test_equals_timm(bias, randomise):
    cait = pytest.importorskip("timm.models.cait")
    settings = {"heads": 4, "depth": 2, "layer_scale": 1e-5, "bias": bias}
    ours = randomise(build("cait", 16, **settings)).double().eval()
    x = torch.randn(3, 16, 2, 4, 5, dtype=torch.float64)
    token = ours.token.expand(3, 1, -1)
    for layer in ours.layers:
        theirs = cait.LayerScaleBlockClassAttn(16, 4, qkv_bias=bias).double().eval()
        key_value = {name: part.chunk(2) for name, part in layer.key_value.named_parameters()}
        with torch.no_grad():
            theirs.gamma_1.copy_(layer.scales[0])
            theirs.gamma_2.copy_(layer.scales[1])
            for name, (key, value) in key_value.items():
                getattr(theirs.attn.k, name).copy_(key)
                getattr(theirs.attn.v, name).copy_(value)
        theirs.norm1.load_state_dict(layer.norm.state_dict())
        theirs.attn.q.load_state_dict(layer.query.state_dict())
        theirs.attn.proj.load_state_dict(layer.output.state_dict())
        theirs.norm2.load_state_dict(layer.feed_forward.norm.state_dict())
        theirs.mlp.fc1.load_state_dict(layer.feed_forward.widen.state_dict())
        theirs.mlp.fc2.load_state_dict(layer.feed_forward.narrow.state_dict())
        token = theirs(x.flatten(2).transpose(1, 2), token)
    torch.testing.assert_close(ours(x).features, token[:, 0], atol=1e-12, rtol=1e-12)


def test_a_new_one_has_the_papers_layers():
    module = build("class_attention", 8, layer_scale=1e-5)
    assert len(module.layers) == 2
    for layer in module.layers:
        assert layer.feed_forward.widen.out_features == 32
        assert all((scale == 1e-5).all() and scale.requires_grad for scale in layer.scales)
    assert not build("class_attention", 8).layers[0].scales


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3}, "heads: expected a divisor of 8 channels, got 3"),
        ({"depth": 0}, "depth: expected at least 1, got 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("class_attention", 8, **settings)
