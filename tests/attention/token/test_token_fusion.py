from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build, record_maps


def normed(columns, norm):
    centred = columns - columns.mean(1, keepdim=True)
    scale = (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
    return centred / scale * norm.weight + norm.bias


def two_layers(columns, net):
    inner = normed(columns, net.norm) @ net.hidden.weight.T + net.hidden.bias
    gelu = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    return gelu @ net.score.weight.T + net.score.bias


def reference(module, columns):
    """The real positions of one sample, (L, C)."""
    weights = two_layers(columns, module.learner).exp()
    tokens = (weights / weights.sum(0)).T @ columns
    mixed = module.mix.weight @ normed(tokens, module.token_norm) + module.mix.bias[:, None]
    read = 1 / (1 + (-two_layers(columns, module)).exp())
    return columns + read @ normed(mixed, module.mixed_norm), read


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, training, randomise):
    module = build("token_fuser", 12, spatial_dims=len(grid), tokens=3, hidden_channels=7)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 12, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < 0.7
    mask[..., 0] = True
    for given in (None, mask):
        with record_maps(module) as maps:
            out = module(x, mask=given)
        assert [found.name for found in maps] == ["learner", ""]
        for n in range(2):
            columns = x[n].flatten(1).T
            real = torch.ones(len(columns)).bool() if given is None else mask[n].flatten()
            expected = columns.clone()
            expected[real], read = reference(module, columns[real])
            torch.testing.assert_close(out[n].flatten(1).T, expected, atol=1e-10, rtol=1e-10)
            shown = maps[1].values[n].flatten(1).T[real]
            torch.testing.assert_close(shown, read, atol=1e-10, rtol=1e-10)


def test_a_new_one_is_the_identity_and_learns():
    module = build("token_fuser", 12)
    x = torch.randn(2, 12, 2, 3, 4)
    assert torch.equal(module(x), x)
    module(x).pow(2).sum().backward()
    assert module.mix.weight.grad.abs().sum() > 0
