from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidattn.attention import PerFrame, build, record_maps


def by_hand(w, x, words, heads):
    """One sample, position by position: x (L, C), words (K, C') -> the result and (L, K)."""

    def normed(tokens, name):
        away = tokens - tokens.mean(1, keepdim=True)
        away = away / (away.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return away * w[f"{name}.weight"] + w[f"{name}.bias"]

    query = normed(x, "norm") @ w["query.weight"].T + w["query.bias"]
    pairs = normed(words, "context_norm") @ w["key_value.weight"].T + w["key_value.bias"]
    key, value = pairs.chunk(2, 1)
    width = x.shape[1] // heads
    out, shares = x.clone(), torch.zeros(len(x), len(words), dtype=x.dtype)
    for i in range(len(x)):
        read = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            powers = [(query[i, part] @ one[part] / width**0.5).exp() for one in key]
            row = torch.stack(powers) / sum(powers)
            shares[i] += row / heads
            read.append(sum(share * one[part] for share, one in zip(row, value, strict=True)))
        out[i] += torch.cat(read) @ w["output.weight"].T + w["output.bias"]
    return out, shares


@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("words", [(3,), (2, 2)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, words, padded, training, randomise):
    module = build("cross_attention", 8, spatial_dims=len(grid), context_channels=6, heads=2)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    context = torch.randn(2, 6, *words, dtype=torch.float64)
    kept = torch.rand(2, 1, *words) < (0.5 if padded else 2)
    kept[..., 0] = True
    context = context.masked_fill(~kept, torch.nan)
    given = (context, kept) if padded else context
    with record_maps(module) as maps:
        out = module(x, context=given)
    for n in range(2):
        seen = kept[n].flatten()
        tokens, read = x[n].flatten(1).T, context[n].flatten(1).T[seen]
        expected, shares = by_hand(module.state_dict(), tokens, read, 2)
        close = {"atol": 1e-12, "rtol": 1e-12}
        torch.testing.assert_close(out[n].flatten(1).T, expected, **close)
        values = maps[0].values[n].flatten(1).T
        torch.testing.assert_close(values[:, seen], shares, **close)
        assert (values[:, ~seen] == 0).all()


@pytest.mark.parametrize("padded", [True, False])
def test_equals_torch_multihead_attention(padded, randomise):
    ours = randomise(build("cross_attention", 16, context_channels=10, heads=4)).double()
    theirs = nn.MultiheadAttention(16, 4, kdim=10, vdim=10, batch_first=True).double()
    key, value = (part.chunk(2) for part in ours.key_value.parameters())
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.query.weight)
        theirs.k_proj_weight.copy_(key[0])
        theirs.v_proj_weight.copy_(key[1])
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, *value]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(3, 16, 2, 3, 4, dtype=torch.float64)
    words = torch.randn(3, 10, 5, dtype=torch.float64)
    kept = torch.tensor([[True] * 5, [True, False] * 2 + [True], [True] + [False] * 4])
    normed = F.layer_norm(x.flatten(2).transpose(1, 2), (16,), ours.norm.weight, ours.norm.bias)
    read = ours.context_norm(words.transpose(1, 2))
    ignored = ~kept if padded else None
    added, rows = theirs(normed, read, read, key_padding_mask=ignored)
    with record_maps(ours, affinities="full") as maps:
        out = ours(x, context=(words, kept.unsqueeze(1)) if padded else words)
    expected = x + added.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-12)
    values = maps[0].values.flatten(2).transpose(1, 2)
    torch.testing.assert_close(values, rows, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(maps[0].affinity.mean(1), rows, atol=1e-12, rtol=1e-12)


def test_context_of_padding_only_adds_the_bias_alone(randomise):
    module = randomise(build("cross_attention", 8, spatial_dims=1)).double()
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    kept = torch.tensor([True, False])[:, None, None]
    words = torch.full((2, 8, 3), torch.inf, dtype=torch.float64).masked_fill(kept, 1.0)
    words.requires_grad_()
    out = module(x, context=(words, kept))
    torch.testing.assert_close(out[1], x[1] + module.output.bias[:, None])
    out.sum().backward()
    assert words.grad.isfinite().all()
    assert (words.grad[1] == 0).all()


def test_each_frame_reads_from_its_own_context(randomise):
    module = randomise(build("cross_attention", 8, spatial_dims=2)).double()
    x, context = (torch.randn(2, 8, 3, 4, 2, dtype=torch.float64) for _ in range(2))
    out = PerFrame(module)(x, context=context)
    for t in range(3):
        torch.testing.assert_close(out[:, :, t], module(x[:, :, t], context=context[:, :, t]))


def test_zero_start_is_the_identity():
    module = build("cross_attention", 8, zero_start=True)
    x = torch.randn(2, 8, 2, 3, 3)
    assert torch.equal(module(x, context=torch.randn(2, 8, 4)), x)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (None, "CrossAttention: expected context, what to read from"),
        (torch.zeros(2, 8), "CrossAttention: expected context, what to read from"),
        (torch.zeros(3, 8, 4), "expected context of 2 samples and 8 channels, got .3, 8, 4."),
        (torch.zeros(2, 6, 4), "expected context of 2 samples and 8 channels, got .2, 6, 4."),
    ],
)
def test_context_is_checked(context, message):
    with pytest.raises(ValueError, match=message):
        build("cross_attention", 8)(torch.zeros(2, 8, 2, 3, 3), context=context)


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("cross_attention", 20)
