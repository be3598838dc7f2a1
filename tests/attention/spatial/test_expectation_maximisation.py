from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps

NAME = "expectation_maximisation"


def unit(bases):
    return np.stack([column / (1e-6 + np.sqrt((column**2).sum())) for column in bases.T], axis=1)


def iterate(sample, bases, steps):
    """f (C, L) -> Z (L, K) and μ (C, K), position by position and base by base."""
    for _ in range(steps):
        z = np.stack([np.exp(f @ bases) / np.exp(f @ bases).sum() for f in sample.T])
        columns = [(sample * share).sum(1) / (1e-6 + share.sum()) for share in z.T]
        bases = unit(np.stack(columns, axis=1))
    return z, bases


def reference(x, w, steps, *, training):
    rebuilt, shares, means = [], [], []
    for sample in x.reshape(*x.shape[:2], -1):
        f = w["input.weight"] @ sample + w["input.bias"][:, None]
        z, bases = iterate(f, w["bases"], steps)
        rebuilt.append(w["output.weight"] @ np.maximum(bases @ z.T, 0))
        shares.append(z.T)
        means.append(bases)
    y = np.stack(rebuilt)
    mean, variance = w["norm.running_mean"], w["norm.running_var"]
    if training:
        mean, variance = y.mean((0, 2)), y.var((0, 2))
    y = (y - mean[:, None]) / np.sqrt(variance + 1e-5)[:, None]
    y = y * w["norm.weight"][:, None] + w["norm.bias"][:, None]
    return x + y.reshape(x.shape), np.stack(shares), np.mean(means, axis=0)


def made(randomise, rank=3, **settings):
    return randomise(build(NAME, 8, spatial_dims=rank, bases=5, **settings)).double()


def numbers(module):
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("stop_gradient", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, iterations, stop_gradient, training, randomise):
    module = made(randomise, len(grid), iterations=iterations, stop_gradient=stop_gradient)
    module.train(training)
    w = numbers(module)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected, shares, _ = reference(x.numpy(), w, iterations, training=training)
    with record_maps(module) as maps:
        out = module(x)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-11, rtol=1e-11)
    np.testing.assert_allclose(maps[0].values.reshape(3, 5, -1), shares, atol=1e-12)


def test_forward_leaves_the_bases_alone_and_the_update_moves_them(randomise):
    module = made(randomise).train()
    w = numbers(module)
    x = torch.randn(3, 8, 3, 4, 5, dtype=torch.float64)
    module(x)
    assert np.array_equal(module.bases.numpy(), w["bases"])
    module.update_bases(x, momentum=0.75)
    *_, mean = reference(x.numpy(), w, 3, training=True)
    expected = 0.75 * w["bases"] + 0.25 * mean
    np.testing.assert_allclose(module.bases.numpy(), expected, atol=1e-12)


def test_shares_sum_to_one_under_autocast(randomise):
    """In half precision they would miss 1 by a thousandth."""
    module = made(randomise).float()
    with record_maps(module) as maps, torch.autocast("cpu", torch.bfloat16):
        module(torch.randn(2, 8, 2, 3, 4))
    sums = maps[0].values.sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-5, rtol=0)


def test_nine_tenths_of_the_old_bases_stay(randomise):
    module = made(randomise)
    w = numbers(module)
    x = torch.randn(3, 8, 3, 4, 5, dtype=torch.float64)
    *_, mean = reference(x.numpy(), w, 3, training=True)
    module.update_bases(x)
    np.testing.assert_allclose(module.bases.numpy(), 0.9 * w["bases"] + 0.1 * mean, atol=1e-12)
    with pytest.raises(ValueError, match="ExpectationMaximisationAttention: expected x of shape"):
        module.update_bases(x.flatten(1))


def test_update_does_not_see_padding(randomise):
    module = made(randomise)
    twin = copy.deepcopy(module)
    x = torch.randn(2, 8, 4, 3, 3, dtype=torch.float64)
    mask = torch.arange(4).lt(3).reshape(1, 1, 4, 1, 1)
    module.update_bases(x.masked_fill(~mask, torch.nan), mask=mask)
    twin.update_bases(x[:, :, :3])
    torch.testing.assert_close(module.bases, twin.bases)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_gradient_through_the_iterations_can_be_stopped(stop_gradient, randomise):
    module = made(randomise, stop_gradient=stop_gradient)
    module(torch.randn(2, 8, 2, 3, 3, dtype=torch.float64)).pow(2).sum().backward()
    assert (module.input.weight.grad is None) == stop_gradient
    assert module.output.weight.grad is not None
    assert not module.bases.requires_grad


def test_new_bases_have_length_1():
    lengths = build(NAME, 16).bases.norm(dim=0)
    torch.testing.assert_close(lengths, torch.ones(64), atol=1e-4, rtol=0)


def test_iterations_are_checked():
    with pytest.raises(ValueError, match="iterations: expected at least 1, got 0"):
        build(NAME, 8, iterations=0)
