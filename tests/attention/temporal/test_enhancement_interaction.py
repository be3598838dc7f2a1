from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


def reference(w, x, frames):
    """x (C, T, L) of one sample and which frames are real -> the result and a (C, T)."""
    channels, count = x.shape[:2]
    means = x.mean(2)
    weights = torch.ones(channels, count, dtype=x.dtype)
    for t in range(count - 1):
        if frames[t] and frames[t + 1]:
            here = w["squeeze.weight"][:, :, 0] @ means[:, t] + w["squeeze.bias"]
            there = w["squeeze_next.weight"][:, :, 0] @ means[:, t + 1] + w["squeeze_next.bias"]
            scores = w["excite.weight"][:, :, 0] @ (here - there) + w["excite.bias"]
            weights[:, t] = 1 / (1 + torch.exp(-scores))
    out = torch.zeros_like(x)
    for c in range(channels):
        for t in range(count):
            for k in range(3):
                if 0 <= t + k - 1 < count:
                    enhanced = weights[c, t + k - 1] * x[c, t + k - 1]
                    out[c, t] += w["interaction.weight"][c, k] * enhanced
    return out, weights


@pytest.mark.parametrize("grid", [(6,), (5, 3, 2), (1, 3, 2)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, padded, training, randomise):
    module = build("teinet", 8, spatial_dims=len(grid), reduction=3)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    frames = torch.rand(2, grid[0]) < (0.6 if padded else 2)
    frames[:, 0] = True
    mask = frames.reshape(2, 1, grid[0], *[1] * (len(grid) - 1))
    x = x.masked_fill(~mask, torch.inf)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    for n in range(2):
        seen = x[n].reshape(8, grid[0], -1).masked_fill(~frames[n, :, None], 0)
        expected, _ = reference(module.state_dict(), seen, frames[n])
        found = out[n].reshape(8, grid[0], -1)
        close = {"atol": 1e-12, "rtol": 1e-12}
        torch.testing.assert_close(found[:, frames[n]], expected[:, frames[n]], **close)
        # Whole affinities say what each frame's result took of each frame.
        product = torch.einsum("cts,csl->ctl", maps[0].affinity[n], seen)
        torch.testing.assert_close(product[:, frames[n]], expected[:, frames[n]], **close)
        total = maps[0].values[n].reshape(8, grid[0])
        torch.testing.assert_close(total, maps[0].affinity[n].sum(1), **close)


def test_a_new_one_shifts_what_was_enhanced():
    module = build("tei", 16, spatial_dims=1)
    with torch.no_grad():  # weights of 1: what is left is the shift
        module.excite.bias.fill_(50)
        module.excite.weight.zero_()
    x = torch.randn(1, 16, 4)
    out = module(x)
    torch.testing.assert_close(out[:, :2, :3], x[:, :2, 1:])
    torch.testing.assert_close(out[:, 2:4, 1:], x[:, 2:4, :3])
    torch.testing.assert_close(out[:, 4:], x[:, 4:])
    assert (out[:, :2, 3] == 0).all()
    assert (out[:, 2:4, 0] == 0).all()
    assert build("tei", 64).squeeze.out_channels == 8


def test_part_of_a_frame_may_be_padding(randomise):
    module = randomise(build("tei", 8)).double()
    x = torch.randn(1, 8, 3, 2, 2, dtype=torch.float64)
    mask = torch.ones(1, 1, 3, 2, 2, dtype=torch.bool)
    mask[0, 0, 1, 1] = False
    with record_maps(module, affinities="full") as maps:
        module(x.masked_fill(~mask, torch.nan), mask=mask)
    means = torch.stack([x[0, :, 0].flatten(1), x[0, :, 2].flatten(1)]).mean(2)
    middle = x[0, :, 1, 0].mean(1)
    w = module.state_dict()
    means = torch.stack([means[0], middle, means[1]], 1)
    _, weights = reference(w, means.unsqueeze(2), [True] * 3)
    found = maps[0].affinity[0].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(found, weights * w["interaction.weight"][:, 1:2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduction": 0}, "reduction: expected at least 1, got 0"),
        ({"division": 1}, "division: expected at least 2, got 1"),
        ({"spatial_dims": 2}, "to be 1 or 3, got 2"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("tei", 8, **settings)
