from __future__ import annotations

import itertools

import pytest
import torch

from vidattn.attention import build


def depthwise(x, weight, bias):
    """(C, *positions), by sums over the offsets of the kernel."""
    out = bias.reshape(-1, *[1] * (x.ndim - 1)).expand_as(x).clone()
    sizes = weight.shape[2:]
    for place in itertools.product(*(range(size) for size in x.shape[1:])):
        for tap in itertools.product(*(range(size) for size in sizes)):
            source = [p + o - s // 2 for p, o, s in zip(place, tap, sizes, strict=True)]
            if all(0 <= at < size for at, size in zip(source, x.shape[1:], strict=True)):
                out[(slice(None), *place)] += (
                    x[(slice(None), *source)] * weight[(slice(None), 0, *tap)]
                )
    return out


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 2, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise, slow, close):
    kernel = (3, 5, 1)[: len(grid)]
    module = build("uniformer_global", 8, spatial_dims=len(grid), heads=2, kernel_size=kernel)
    module = randomise(module).double().train(training)
    w = module.state_dict()
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    expected = []
    for one in x:
        placed = one + depthwise(one, w["position.weight"], w["position.bias"])
        tokens = placed.flatten(1).T
        normed = slow.layer_norm(tokens, w["relation.norm.weight"], w["relation.norm.bias"])
        q, k, v = slow.linear(normed, w, "relation.query_key_value").chunk(3, 1)
        mixed, _ = slow.heads_of(q, k, v, 2)
        expected.append((tokens + slow.linear(mixed, w, "relation.output")).T.reshape(one.shape))
    close(module(x), torch.stack(expected))


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel_size: expected 3 odd sizes or one, got 4"):
        build("uniformer_global", 8, kernel_size=4)
