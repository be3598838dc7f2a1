from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vidattn.attention import OverTime, build, record_maps


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_without_embedding_equals_torch_encoder_layer(causal, padded, training, randomise):
    ours = build("temporal_transformer", 16, spatial_dims=1, embedding="none", causal=causal)
    ours = randomise(ours).double().train(training)
    theirs = torch_twin(ours, 16, 8).train(training)
    x = torch.randn(3, 16, 7, dtype=torch.float64)
    mask = torch.rand(3, 1, 7) < 0.7 if padded else None
    if mask is not None:
        mask[:, :, 0] = True
    later = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
    expected = theirs(
        x.transpose(1, 2),
        src_mask=later,
        src_key_padding_mask=None if mask is None else ~mask.squeeze(1),
    ).transpose(1, 2)
    if mask is not None:
        expected = torch.where(mask, expected, x)
    torch.testing.assert_close(ours(x, mask=mask), expected, atol=1e-11, rtol=1e-10)


@pytest.mark.parametrize("embedding", ["sinusoidal", "learned"])
@pytest.mark.parametrize("causal", [True, False])
def test_equals_the_formula_in_loops(embedding, causal, randomise):
    module = build(
        "temporal_transformer", 8, spatial_dims=1, heads=2, embedding=embedding, causal=causal
    )
    module = randomise(module).double().eval()
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    expected, attention = reference(module.state_dict(), x, 2, embedding=embedding, causal=causal)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)
    with record_maps(module, affinities="full") as maps:
        module(x)
    torch.testing.assert_close(maps[0].affinity, attention, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(maps[0].values.flatten(2), attention.mean(2))


def test_causal_one_does_not_look_ahead(randomise):
    module = build("temporal_transformer", 16, spatial_dims=1, causal=True)
    module = randomise(module).double().eval()
    x = torch.randn(2, 16, 6, dtype=torch.float64)
    torch.testing.assert_close(module(x)[:, :, :4], module(x[:, :, :4]))


def test_causal_one_with_a_padded_start_is_finite(randomise):
    module = build("temporal_transformer", 16, spatial_dims=1, causal=True)
    module = randomise(module).double().eval()
    x = torch.randn(2, 16, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(6).ge(2).reshape(1, 1, 6)
    out = module(x, mask=mask)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()


def test_only_without_embedding_permuting_frames_permutes_the_result(randomise):
    x, order = torch.randn(2, 16, 6, dtype=torch.float64), [1, 0, 2, 3, 5, 4]
    for embedding in ("none", "sinusoidal", "learned"):
        module = build("temporal_transformer", 16, spatial_dims=1, embedding=embedding)
        module = randomise(module).double().eval()
        same = torch.allclose(module(x)[:, :, order], module(x[:, :, order]))
        assert same == (embedding == "none")


def test_zero_start_is_the_identity_over_time_at_every_site():
    module = build("temporal_transformer", 16, scope="time", zero_start=True)
    assert isinstance(module, OverTime)
    assert module.starts_as_identity
    x = torch.randn(2, 16, 5, 3, 2)
    assert torch.equal(module(x), x)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("temporal_transformer", 20, spatial_dims=1)
    with pytest.raises(ValueError, match="embedding: expected 'sinusoidal'"):
        build("temporal_transformer", 16, spatial_dims=1, embedding="rotary")
    module = build("temporal_transformer", 16, spatial_dims=1, embedding="learned", most_frames=4)
    with pytest.raises(ValueError, match=r"at most 4 frames \(most_frames\), got 5"):
        module(torch.zeros(1, 16, 5))


def torch_twin(ours, channels: int, heads: int) -> nn.TransformerEncoderLayer:
    theirs = nn.TransformerEncoderLayer(
        channels, heads, 4 * channels, 0.0, "gelu", batch_first=True, norm_first=True
    ).double()
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(ours.query_key_value.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.query_key_value.bias)
        for one, other in (
            (ours.output, theirs.self_attn.out_proj),
            (ours.norm, theirs.norm1),
            (ours.network_norm, theirs.norm2),
            (ours.network_in, theirs.linear1),
            (ours.network_out, theirs.linear2),
        ):
            other.weight.copy_(one.weight)
            other.bias.copy_(one.bias)
    return theirs


def reference(state, x, heads, *, embedding, causal):
    """The result (N, C, T) and the attention (N, heads, T, T)."""
    batch, channels, frames = x.shape
    tokens, width = x.transpose(1, 2), channels // heads

    def linear(values, name):
        return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def layer_norm(values, name):
        values = values - values.mean(2, keepdim=True)
        values = values / (values.pow(2).mean(2, keepdim=True) + 1e-5).sqrt()
        return values * state[f"{name}.weight"] + state[f"{name}.bias"]

    time = torch.zeros(frames, channels, dtype=x.dtype)
    for t in range(frames):
        for c in range(channels):
            angle = t / 10000 ** (2 * (c // 2) / channels)
            time[t, c] = math.cos(angle) if c % 2 else math.sin(angle)
    if embedding == "learned":
        time = state["time"][:frames]

    projected = linear(layer_norm(tokens + time, "norm"), "query_key_value")
    query, key, value = projected.split(channels, dim=2)
    attention = torch.zeros(batch, heads, frames, frames, dtype=x.dtype)
    mixed = torch.zeros_like(tokens)
    for n in range(batch):
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for t in range(frames):
                seen = range(t + 1) if causal else range(frames)
                powers = [
                    math.exp(float(query[n, t, part] @ key[n, s, part]) / math.sqrt(width))
                    for s in seen
                ]
                for s, power in zip(seen, powers, strict=True):
                    attention[n, head, t, s] = power / sum(powers)
                    mixed[n, t, part] += attention[n, head, t, s] * value[n, s, part]
    first = tokens + linear(mixed, "output")
    hidden = linear(layer_norm(first, "network_norm"), "network_in")
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return (first + linear(hidden, "network_out")).transpose(1, 2), attention
