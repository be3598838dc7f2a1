from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(1,), (5,), (5, 4, 3)])
def test_new_one_is_the_shift_of_slices(grid):
    module = build("tsm", 17, spatial_dims=len(grid), division=4).double()
    x = torch.randn(2, 17, *grid, dtype=torch.float64)
    expected = torch.zeros_like(x)
    expected[:, :4, :-1] = x[:, :4, 1:]
    expected[:, 4:8, 1:] = x[:, 4:8, :-1]
    expected[:, 8:] = x[:, 8:]
    assert torch.equal(module(x), expected)


@pytest.mark.parametrize("grid", [(5,), (5, 4, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_learned_one_equals_the_sum_over_taps(grid, training, randomise):
    module = randomise(build("tsm", 8, spatial_dims=len(grid))).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    weight = module.state_dict()["kernel.weight"]
    expected = torch.zeros_like(x)
    for channel in range(8):
        for t in range(5):
            for k in range(3):
                if 0 <= t + k - 1 < 5:
                    expected[:, channel, t] += weight[channel, k] * x[:, channel, t + k - 1]
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)


def test_map_counts_what_left_the_clip():
    module = build("tsm", 4, spatial_dims=1, division=4)
    with record_maps(module) as maps:
        module(torch.randn(1, 4, 5))
    found = maps[0].values[0, :, :, 0, 0]
    # Nothing asks for the first frame of what moves back, nor for the last of what moves on.
    assert found.tolist() == [[0, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1] * 5, [1] * 5]


def test_shift_of_all_channels_is_refused():
    with pytest.raises(ValueError, match="division: expected at least 2, got 1"):
        build("tsm", 8, division=1)
