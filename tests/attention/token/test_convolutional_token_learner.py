from __future__ import annotations

import itertools
import math

import pytest
import torch

from vidattn.attention import build


def reference(x, mask, norm, kernels, pooling):
    """Every convolution as a sum over neighbours; x (C, *positions), mask (*positions)."""
    grid = x.shape[1:]
    centred = x - x.mean(0)
    maps = centred / (centred.pow(2).mean(0) + 1e-6).sqrt()
    broadcast = (-1, *[1] * len(grid))
    maps = (maps * norm.weight.reshape(broadcast) + norm.bias.reshape(broadcast)) * mask
    for number, kernel in enumerate(kernels):
        if number:
            maps = 0.5 * maps * (1 + (math.sqrt(2 / math.pi) * (maps + 0.044715 * maps**3)).tanh())
        out = torch.zeros(kernel.shape[0], *grid, dtype=x.dtype)
        for place in itertools.product(*map(range, grid)):
            for offset in itertools.product((-1, 0, 1), repeat=len(grid)):
                near = tuple(p + o for p, o in zip(place, offset, strict=True))
                if all(0 <= p < size for p, size in zip(near, grid, strict=True)):
                    tap = kernel[(slice(None), slice(None), *(o + 1 for o in offset))]
                    out[(slice(None), *place)] += tap @ maps[(slice(None), *near)]
        maps = out * mask
    weights = mask / (1 + (-maps).exp())
    if pooling == "mean":
        weights = weights / mask.sum()
    features = torch.einsum("cl,kl->ck", x.flatten(1), weights.flatten(1))
    return features, weights


@pytest.mark.parametrize("grid", [(6,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, pooling, training, randomise):
    module = build(
        "convolutional_token_learner", 6, spatial_dims=len(grid), tokens=3, pooling=pooling
    )
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 6, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < 0.7
    mask[..., 0] = True
    mask[1] = torch.arange(mask[1].numel()).eq(3).reshape(1, *grid)  # one alone
    kernels = [layer.weight for layer in module.convolutions]
    for given in (mask, None):
        out = module(x, mask=given)
        for index in range(2):
            kept = torch.ones(grid) if given is None else mask[index, 0]
            features, source = reference(x[index], kept.double(), module.norm, kernels, pooling)
            torch.testing.assert_close(out.features[index], features, atol=1e-10, rtol=1e-10)
            torch.testing.assert_close(out.source[index], source, atol=1e-10, rtol=1e-10)


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="pooling: expected 'sum' or 'mean', got 'max'"):
        build("convolutional_token_learner", 6, pooling="max")
