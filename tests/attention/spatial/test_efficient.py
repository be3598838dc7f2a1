from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


def affinity(module, x, mask):
    """(N, heads, L, L) multiplied out, and the values (N, heads, L, d)."""
    tokens = x.flatten(2).transpose(1, 2)
    query, key, value = (
        (tokens @ part.weight.T + part.bias).unflatten(2, (module.heads, -1)).transpose(1, 2)
        for part in (module.query, module.key, module.value)
    )
    query = query.exp() / query.exp().sum(3, keepdim=True)
    key = key.exp() * mask.flatten(2).unsqueeze(3)
    return query @ (key / key.sum(2, keepdim=True)).transpose(2, 3), value


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_its_affinity_multiplied_out(grid, padded, training, randomise):
    module = build("efficient_attention", 8, spatial_dims=len(grid), heads=2, key_channels=6)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    rows, value = affinity(module, x, mask)
    mixed = (rows @ value).transpose(1, 2).flatten(2)
    added = mixed @ module.output.weight.T + module.output.bias
    expected = x + added.transpose(1, 2).reshape(x.shape) * mask
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)
    rows = rows.detach() * mask.flatten(2).unsqueeze(3)
    torch.testing.assert_close(maps[0].affinity, rows, atol=1e-10, rtol=1e-10)
    received = rows.sum(2) / mask.flatten(2).sum(2, keepdim=True)
    values = maps[0].values.flatten(2)
    torch.testing.assert_close(values, received, atol=1e-10, rtol=1e-10)


@pytest.mark.oracle
def test_equals_performer_pytorch_without_projection(randomise):
    library = pytest.importorskip("performer_pytorch")
    ours = randomise(build("efficient_attention", 8, heads=2)).double()
    theirs = library.FastAttention(4, no_projection=True)
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    tokens = x.flatten(2).transpose(1, 2)
    parts = (embed(tokens) for embed in (ours.query, ours.key, ours.value))
    mixed = theirs(*(part.unflatten(2, (2, 4)).transpose(1, 2) for part in parts))
    added = ours.output(mixed.transpose(1, 2).flatten(2))
    expected = x + added.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-12, rtol=1e-12)


def test_heads_must_divide_both():
    with pytest.raises(ValueError, match="8 channels and 5 key channels, got 2"):
        build("efficient_attention", 8, key_channels=5, heads=2)
