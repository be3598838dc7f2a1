from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build


def log_odds(net, tokens, real):
    """(L, C) -> keep and drop, before the softmax, by plain formulas."""

    def linear(layer, x):
        return x @ layer.weight.T + layer.bias

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    centred = tokens - tokens.mean(1, keepdim=True)
    normed = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt()
    hidden = gelu(linear(net.hidden, normed * net.norm.weight + net.norm.bias))
    half = tokens.shape[1] // 2
    shared = hidden[real, half:].mean(0).expand(len(tokens), -1)
    hidden = gelu(linear(net.score[0], torch.cat([hidden[:, :half], shared], 1)))
    return linear(net.score[4], gelu(linear(net.score[2], hidden)))


@pytest.mark.parametrize("grid", [(9,), (3, 4), (2, 3, 3)])
@pytest.mark.parametrize("channels", [8, 7])
def test_equals_reference(grid, channels, randomise):
    module = build("dynamicvit", channels, spatial_dims=len(grid), tokens=3)
    module = randomise(module).double().requires_grad_(False)
    x = torch.randn(2, channels, *grid, dtype=torch.float64)
    length = x[0, 0].numel()
    noise = torch.randn(2, length, 2, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < 0.8
    for given in (None, mask):
        trained = module.train()(x, mask=given, noise=noise)
        evaluated = module.eval()(x, mask=given)
        for n in range(2):
            real = torch.ones(length).bool() if given is None else mask[n].flatten()
            flat = x[n].flatten(1)
            logits = log_odds(module.score, (flat * real).T, real)
            keep = ((logits + noise[n]).argmax(1) == 0) & real
            assert torch.equal(trained.valid[n], keep)
            assert torch.equal(trained.source[n].flatten(1), torch.diag(keep.double()))
            assert torch.equal(trained.features[n], flat * keep)
            odds = (logits[:, 0] - logits[:, 1]).masked_fill(~real, -torch.inf)
            best = odds.sort(descending=True).indices[:3].sort().values
            assert torch.equal(evaluated.features[n], flat[:, best])


def test_draw_has_the_gradient_of_the_gumbel_softmax(randomise):
    module = randomise(build("dynamicvit", 8, spatial_dims=1)).double().train()
    x, noise = (torch.randn(2, *shape, dtype=torch.float64) for shape in ((8, 9), (9, 2)))
    upstream = torch.randn(2, 9, dtype=torch.float64)
    weight = module.score.hidden.weight
    policy = module(x, noise=noise).source.sum(2)
    (gradient,) = torch.autograd.grad(policy, weight, upstream)
    logits = torch.stack(
        [log_odds(module.score, one.T, torch.ones(9).bool()) for one in x]
    ).log_softmax(2)
    soft = (logits + noise).softmax(2)[..., 0]
    (expected,) = torch.autograd.grad(soft, weight, upstream)
    torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=1e-10)
