from __future__ import annotations

import pytest
import torch

from vidattn.attention import build


def reference(module, x, real, token, heads, count):
    """One sample, x (C, L), token (C,): loops over heads and positions."""
    channels = len(x)
    width = channels // heads

    def normed(column):
        centred = column - column.mean()
        return centred / (centred.pow(2).mean() + 1e-5).sqrt() * module.norm.weight + (
            module.norm.bias
        )

    query = module.query.weight @ normed(token) + module.query.bias
    keys = [module.key.weight @ normed(column) + module.key.bias for column in (token, *x.T)]
    total = torch.zeros(x.shape[1], dtype=x.dtype)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = torch.stack([(query[part] * key[part]).sum() / width**0.5 for key in keys])
        weight = scores.exp() * torch.tensor([True, *real])
        total += (weight / weight.sum())[1:] / heads
    candidates = [position for position in range(x.shape[1]) if real[position]]
    best = sorted(sorted(candidates, key=lambda position: -float(total[position]))[:count])
    rest = [position for position in candidates if position not in best]
    fused = sum((total[position] * x[:, position] for position in rest), torch.zeros_like(token))
    return best, x[:, best], fused, total, rest


@pytest.mark.parametrize("grid", [(9,), (3, 4), (2, 3, 3)])
@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, with_context, training, randomise):
    module = build("evit", 12, spatial_dims=len(grid), tokens=3, heads=4)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 12, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < 0.7
    mask[..., :5] = True
    context = torch.randn(2, 12, dtype=torch.float64) if with_context else None
    for given in (None, mask):
        out = module(x, mask=given, context=context)
        assert out.features.shape == (2, 12, 4)
        for n in range(2):
            flat = x[n].flatten(1)
            real = [True] * flat.shape[1] if given is None else mask[n].flatten().tolist()
            token = context[n] if with_context else module.class_token
            best, chosen, fused, weights, rest = reference(module, flat, real, token, 4, 3)
            assert out.positions[n, :3].tolist() == best
            torch.testing.assert_close(out.features[n, :, :3], chosen, atol=1e-10, rtol=1e-10)
            torch.testing.assert_close(out.features[n, :, 3], fused, atol=1e-10, rtol=1e-10)
            shares = out.source[n, 3].flatten()
            torch.testing.assert_close(shares[rest], weights[rest], atol=1e-10, rtol=1e-10)


def test_rest_can_be_dropped(randomise):
    module = randomise(build("evit", 12, spatial_dims=1, tokens=3, heads=4, fuse=False))
    twin = randomise(build("evit", 12, spatial_dims=1, tokens=3, heads=4))
    x = torch.randn(2, 12, 9)
    torch.testing.assert_close(module(x).features, twin(x).features[:, :, :3])


def test_without_rest_nothing_is_fused():
    out = build("evit", 8, spatial_dims=1, tokens=4)(torch.randn(2, 8, 4))
    assert out.valid.tolist() == [[True] * 4 + [False]] * 2
    assert (out.features[:, :, 4] == 0).all()


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("evit", 20)


def test_what_comes_of_rounded_queries_is_exact_under_autocast(randomise):
    module = randomise(build("evit", 4, spatial_dims=1, tokens=1, heads=1)).requires_grad_(False)
    x = torch.randn(1, 4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = module.attention(x, None, None)[0].double()
        tokens = module.norm(torch.cat((module.class_token.reshape(1, 1, 4), x.mT), 1))
        query, keys = module.query(tokens[:, :1]).double(), module.key(tokens).double()
    powers = (keys[0] @ query[0, 0] / 2).exp()
    torch.testing.assert_close(found, powers[1:] / powers.sum(), atol=1e-5, rtol=0)
