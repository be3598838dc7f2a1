from __future__ import annotations

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps

CASES = [((8,), (3,)), ((5, 7), (3, 5)), ((2, 3), (3, 7)), ((3, 4, 5), (3, 1, 3))]


def reference(module, x, mask, kernel, *, compat):
    """One sample (C, *grid) -> its change (C, *grid), and the weights (heads, L, window)."""
    weights = dict(module.named_parameters())
    heads, rank = module.heads, x.ndim - 1
    width = len(x) // heads
    reach = [one // 2 for one in kernel]
    around = [side for one in reversed(reach) for side in (one, one)]
    padded = F.pad(x * mask, around)
    real = F.pad(mask[0].double(), around)
    change = torch.zeros_like(x)
    total = torch.zeros(heads, *real.shape, dtype=x.dtype)
    for site in product(*(range(size) for size in x.shape[1:])):
        if not mask[(0, *site)]:
            continue
        part = (slice(None), *(slice(p, p + one) for p, one in zip(site, kernel, strict=True)))
        near = padded[part].flatten(1).T
        kept = real[part[1:]].flatten()
        w_query, w_key, w_value = weights["query_key_value.weight"].chunk(3)
        query = (w_query @ x[(slice(None), *site)]).reshape(heads, width)
        key = (near @ w_key.T).reshape(-1, heads, width)
        value = (near @ w_value.T).reshape(-1, heads, width)
        steps = list(product(*(range(one) for one in kernel)))
        relative = torch.zeros(len(steps), width, dtype=x.dtype)
        for index, step in enumerate(steps):
            if rank != 2:
                relative[index] += weights["position.T"][step[0]]
            if rank != 1:
                rows, columns = step[-2:]
                both = (weights["position.H"][rows], weights["position.W"][columns])
                relative[index] += torch.cat(both)
        logits = torch.einsum("hd,khd->hk", query, key) + query @ relative.T
        rows = torch.exp(logits) * (1 if compat else kept)
        rows = rows / rows.sum(1, keepdim=True)
        change[(slice(None), *site)] = torch.einsum("hk,khd->hd", rows, value).flatten()
        total[part] += (rows * kept).reshape(heads, *kernel)
    inner = (slice(None), *(slice(r, r + s) for r, s in zip(reach, x.shape[1:], strict=True)))
    return change, total[inner] / max(mask.sum(), 1)


@pytest.mark.parametrize(("grid", "kernel"), CASES)
@pytest.mark.parametrize("compat", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_query_by_query(grid, kernel, compat, padded, training, randomise):
    module = build("sasa", 8, spatial_dims=len(grid), kernel=kernel, heads=2, compat=compat)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.6 if padded else 2)
    with record_maps(module) as maps:
        out = module(x, mask=mask if padded else None)
    for index in range(2):
        change, received = reference(module, x[index], mask[index], kernel, compat=compat)
        expected = x[index] + change
        torch.testing.assert_close(out[index], expected, atol=1e-10, rtol=1e-10)
        values = maps[0].values[index].reshape(received.shape)
        torch.testing.assert_close(values, received.detach(), atol=1e-10, rtol=1e-10)


def test_scale_multiplies_the_logits(randomise):
    one, half = (randomise(build("sasa", 8, heads=2, scale=s)) for s in (1.0, 0.5))
    x = torch.randn(1, 8, 2, 4, 5)
    assert not torch.allclose(one(x), half(x))
    with torch.no_grad():
        half.query_key_value.weight[:8] *= 2
    torch.testing.assert_close(one(x), half(x))


def test_heads_need_even_widths():
    with pytest.raises(ValueError, match="expected a divisor of 8 channels into even parts, got 8"):
        build("sasa", 8)
