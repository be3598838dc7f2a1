from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps
from vidattn.attention.spatial import performer


def projected(module, x):
    tokens = x.flatten(2).transpose(1, 2)
    normed = F.layer_norm(tokens, tokens.shape[2:], module.norm.weight, module.norm.bias)
    parts = module.query_key_value(normed).chunk(3, dim=2)
    return [part.unflatten(2, (module.heads, -1)).transpose(1, 2) for part in parts]


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_its_affinity_multiplied_out(grid, padded, training, randomise):
    module = build("performer", 8, spatial_dims=len(grid), heads=2, features=5)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    query, key, value = projected(module, x)
    kept = mask.flatten(2)[:, :, None]
    pairs = torch.zeros(2, 2, kept.shape[3], kept.shape[3], dtype=x.dtype)
    query, key = query / 4**0.25, key / 4**0.25
    for n in range(2):
        for head in range(2):
            dots = key[n, head] @ module.projection.T
            largest = dots[kept[n, 0, 0]].max()
            for i, q in enumerate(query[n, head]):
                side = module.projection @ q
                first = torch.exp(side - q @ q / 2 - side.max()) + 1e-4
                for j, k in enumerate(key[n, head]):
                    second = torch.exp(dots[j] - k @ k / 2 - largest) + 1e-4
                    pairs[n, head, i, j] = first @ second
    rows = pairs * kept / (pairs * kept).sum(3, keepdim=True)
    mixed = (rows @ value).transpose(1, 2).flatten(2)
    added = mixed @ module.output.weight.T + module.output.bias
    expected = x + added.transpose(1, 2).reshape(x.shape) * mask
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)
    rows = rows.detach() * mask.flatten(2).unsqueeze(3)
    torch.testing.assert_close(maps[0].affinity, rows, atol=1e-10, rtol=1e-10)


@pytest.mark.oracle
def test_equals_performer_pytorch(randomise):
    library = pytest.importorskip("performer_pytorch")
    ours = randomise(build("performer", 8, heads=2, features=7)).double()
    theirs = library.FastAttention(4, nb_features=7)
    theirs.projection_matrix = ours.projection
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    mixed = theirs(*projected(ours, x))
    added = ours.output(mixed.transpose(1, 2).flatten(2))
    expected = x + added.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-12, rtol=1e-12)


def test_blocks_of_the_projection_are_orthogonal():
    rows = build("performer", 16, heads=2, features=20).projection
    assert rows.shape == (20, 8)
    for block in rows.split(8):
        products = block @ block.T
        off = products - products.diag().diag()
        torch.testing.assert_close(off, torch.zeros_like(off), atol=1e-5, rtol=0)
    lengths = build("performer", 8, heads=1, features=8000).projection.square().sum(1)
    assert abs(lengths.mean() - 8) < 0.2, "χ² with 8 degrees of freedom"
    assert abs(lengths.var() - 16) < 2


def test_approaches_the_softmax_with_many_features(monkeypatch):
    # The floor draws all weights together, the more the more features there are.
    monkeypatch.setattr(performer, "FLOOR", 0.0)
    torch.manual_seed(0)
    x = torch.randn(1, 8, 12)
    joint = build("self_attention", 8, spatial_dims=1, heads=2)
    errors = []
    for features in (16, 16384):
        module = build("performer", 8, spatial_dims=1, heads=2, features=features)
        module.load_state_dict({**joint.state_dict(), "projection": module.projection})
        error = (module(x) - joint(x)).abs().mean() / (joint(x) - x).abs().mean()
        errors.append(error.item())
    assert errors[1] < 0.01 < errors[0], errors


def test_redraw_is_seeded():
    module = build("performer", 64, seed=3)
    first = module.projection.clone()
    module.redraw(4)
    assert not torch.equal(module.projection, first)
    module.redraw(3)
    assert torch.equal(module.projection, first)
