from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


def projected(module, x):
    tokens = x.flatten(2).transpose(1, 2)
    normed = F.layer_norm(tokens, tokens.shape[2:], module.norm.weight, module.norm.bias)
    parts = module.query_key_value(normed).chunk(3, dim=2)
    return [part.unflatten(2, (module.heads, -1)).transpose(1, 2) for part in parts]


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_its_affinity_multiplied_out(grid, padded, training, randomise):
    module = build("linear_attention", 8, spatial_dims=len(grid), heads=2)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    query, key, value = projected(module, x)
    query, key = (torch.where(part > 0, part + 1, part.exp()) for part in (query, key))
    pairs = torch.einsum("nhid,nhjd->nhij", query, key) * mask.flatten(2).unsqueeze(2)
    rows = pairs / pairs.sum(3, keepdim=True)
    mixed = (rows @ value).transpose(1, 2).flatten(2)
    added = mixed @ module.output.weight.T + module.output.bias
    expected = x + added.transpose(1, 2).reshape(x.shape) * mask
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)
    rows = rows.detach() * mask.flatten(2).unsqueeze(3)
    torch.testing.assert_close(maps[0].affinity, rows, atol=1e-10, rtol=1e-10)
    received = rows.sum(2) / mask.flatten(2).sum(2, keepdim=True)
    torch.testing.assert_close(maps[0].values.flatten(2), received, atol=1e-10, rtol=1e-10)


@pytest.mark.oracle
def test_equals_performer_pytorch_normalised_product(randomise):
    library = pytest.importorskip("performer_pytorch.performer_pytorch")
    ours = randomise(build("linear_attention", 8, heads=2)).double()
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    query, key, value = projected(ours, x)
    mixed = library.linear_attention(F.elu(query) + 1, F.elu(key) + 1, value)
    added = ours.output(mixed.transpose(1, 2).flatten(2))
    expected = x + added.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-12, rtol=1e-12)


def test_long_half_precision_input_is_finite():
    module = build("linear_attention", 16, heads=2).half()
    assert module(torch.randn(1, 16, 4, 64, 64).half() * 50).isfinite().all()
