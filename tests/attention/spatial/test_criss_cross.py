from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def one_pass(x, w):
    """(C, *grid): full attention masked to the keys that differ in one coordinate at most."""
    grid = x.shape[1:]
    places = list(np.ndindex(grid))
    tokens = {p: x[(slice(None), *p)] for p in places}
    table = np.zeros((len(places), len(places)))
    out = np.empty_like(x)
    for i, p in enumerate(places):
        q = w["query.weight"] @ tokens[p] + w["query.bias"]
        keys = [k for k in places if sum(a != b for a, b in zip(p, k, strict=True)) <= 1]
        assert len(keys) == sum(grid) - len(grid) + 1
        weights = np.exp([q @ (w["key.weight"] @ tokens[k] + w["key.bias"]) for k in keys])
        weights /= weights.sum()
        table[i, [places.index(k) for k in keys]] = weights
        out[(slice(None), *p)] = sum(
            a * (w["value.weight"] @ tokens[k] + w["value.bias"])
            for a, k in zip(weights, keys, strict=True)
        )
    return x + w["gamma"] * out, table


@pytest.mark.parametrize("grid", [(6,), (4, 5), (5, 1), (3, 2, 4), (1, 3, 4)])
@pytest.mark.parametrize("passes", [1, 2, None])
@pytest.mark.parametrize("training", [True, False])
def test_equals_masked_full_attention(grid, passes, training, randomise):
    module = build("criss_cross", 8, spatial_dims=len(grid), hidden_channels=3, passes=passes)
    randomise(module).double().train(training)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    with record_maps(module, affinities="full") as maps:
        out = module(x)
    steps = passes or sum(size > 1 for size in grid)
    assert len(maps) == steps
    for n in range(2):
        expected = x[n].numpy()
        for step in range(steps):
            expected, table = one_pass(expected, weights)
            np.testing.assert_allclose(maps[step].affinity[n, 0].numpy(), table, atol=1e-12)
            np.testing.assert_allclose(maps[step].values[n].flatten(), table.mean(0), atol=1e-12)
        np.testing.assert_allclose(out[n].detach().numpy(), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("grid", [(5, 4), (3, 4, 5)])
def test_as_many_passes_as_axes_reach_everything_and_fewer_do_not(grid, randomise):
    for passes in (len(grid) - 1, len(grid)):
        module = build("criss_cross", 8, spatial_dims=len(grid), passes=passes)
        randomise(module).double()
        x = torch.randn(1, 8, *grid, dtype=torch.float64, requires_grad=True)
        module(x)[(0, slice(None), *(0,) * len(grid))].sum().backward()
        reached = (x.grad.abs().sum((0, 1)) > 0).all()
        assert reached == (passes == len(grid))


def test_a_masked_line_is_not_read(randomise):
    module = randomise(build("criss_cross", 8, spatial_dims=2)).double()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    mask = torch.ones(2, 1, 5, 6, dtype=torch.bool)
    mask[..., 4:], mask[:, :, 3:] = False, False
    with record_maps(module) as maps:
        out = module(x, mask=mask)
        alone = module(x[:, :, :3, :4])
    torch.testing.assert_close(out[:, :, :3, :4], alone)
    torch.testing.assert_close(maps[0].values[..., :3, :4], maps[2].values)


def test_large_products_do_not_overflow_half_precision():
    module = build("criss_cross", 16, spatial_dims=2, hidden_channels=16).half()
    with torch.no_grad():
        for layer in (module.query, module.key):
            layer.weight.copy_(torch.eye(16) * 50)
        module.gamma.fill_(1)
    assert module(torch.randn(1, 16, 4, 4).half() * 10).isfinite().all()


def test_passes_are_checked():
    with pytest.raises(ValueError, match="passes: expected at least 1, got 0"):
        build("criss_cross", 8, passes=0)
