from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention.subsampling import block_count, block_maximum, spread_over_blocks

POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
CASES = [((7,), (2,)), ((5, 8), (2, 3)), ((3, 6, 7), (1, 2, 2))]


@pytest.mark.parametrize(("grid", "steps"), CASES)
def test_equals_max_pool(grid, steps):
    x = torch.randn(2, 4, *grid)
    ours = block_maximum(x.flatten(2).transpose(1, 2), None, grid, steps)
    theirs = POOL[len(grid)](x, steps, steps)
    assert torch.equal(ours, theirs.flatten(2).transpose(1, 2))


@pytest.mark.parametrize(("grid", "steps"), CASES)
def test_only_real_positions_count(grid, steps):
    x, mask = torch.randn(2, 1, *grid), torch.rand(2, 1, *grid) < 0.3
    tokens, real = x.flatten(2).transpose(1, 2), mask.flatten(1)
    pooled = POOL[len(grid)](x.masked_fill(~mask, -torch.inf), steps, steps).flatten(1)
    expected = pooled.masked_fill(pooled.isinf(), 0)
    assert torch.equal(block_maximum(tokens, real, grid, steps).squeeze(2), expected)
    volume = torch.tensor(steps).prod()
    average = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(grid)]
    counts = average(mask.double(), steps, steps).flatten(1) * volume
    torch.testing.assert_close(block_count(real, grid, steps).double(), counts)


@pytest.mark.parametrize(("grid", "steps"), CASES)
@pytest.mark.parametrize("padded", [True, False])
def test_spreading_shares_each_value_among_its_real_positions(grid, steps, padded):
    mask = (torch.rand(2, 1, *grid) < 0.7) if padded else torch.ones(2, 1, *grid).bool()
    real = mask.flatten(1)
    count = block_count(real, grid, steps)
    values = torch.rand(count.shape) * (count > 0)
    spread = spread_over_blocks(values, real if padded else None, grid, steps)
    assert (spread[~real] == 0).all()
    x = spread.reshape(2, 1, *grid)
    torch.testing.assert_close(
        block_maximum(spread[..., None], None, grid, steps)[..., 0] * count, values
    )
    torch.testing.assert_close(x.sum(), values.sum())
