from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


def reference(w, x, real, heads, *, share):
    """x (L, C) and which positions are real -> the result and (heads, L, L), sum by sum."""
    away = x - x.mean(1, keepdim=True)
    normed = away / (away.square().mean(1, keepdim=True) + 1e-5).sqrt()
    normed = normed * w["norm.weight"] + w["norm.bias"]
    parts = (normed @ w["query_key_value.weight"].T + w["query_key_value.bias"]).chunk(3, 1)
    width, mixed, rows = x.shape[1] // heads, [], []
    value_rows = w["key_rows"] if share else w["value_rows"]
    for head in range(heads):
        query, key, value = (part[:, head * width : (head + 1) * width] for part in parts)
        sums = [sum(row[j] * key[j] for j in range(len(x)) if real[j]) for row in w["key_rows"]]
        scores = torch.stack([query @ one for one in sums], 1) / width**0.5
        share_of = scores.exp() / scores.exp().sum(1, keepdim=True)
        rows.append(share_of @ (value_rows * real))
        mixed.append(sum(rows[-1][:, [j]] * value[j] for j in range(len(x)) if real[j]))
    added = torch.cat(mixed, 1) @ w["output.weight"].T + w["output.bias"]
    return x + added, torch.stack(rows)


@pytest.mark.parametrize("grid", [(7,), (4, 3), (2, 3, 2)])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, share, padded, training, randomise):
    settings = {"heads": 2, "rows": 5, "share": share}
    module = build("linformer", 8, spatial_dims=len(grid), grid=grid, **settings)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.6 if padded else 2)
    mask[..., 0] = True
    padding = ~mask
    with record_maps(module, affinities="full") as maps:
        out = module(x.masked_fill(padding, torch.inf), mask=mask if padded else None)
    close = {"atol": 1e-12, "rtol": 1e-12}
    for n in range(2):
        real = mask[n].flatten()
        tokens = x[n].flatten(1).T
        expected, rows = reference(module.state_dict(), tokens, real, 2, share=share)
        torch.testing.assert_close(out[n].flatten(1).T[real], expected[real], **close)
        torch.testing.assert_close(maps[0].affinity[n][:, real], rows[:, real], **close)
        mean = rows[:, real].mean(1)
        torch.testing.assert_close(maps[0].values[n].flatten(1), mean, **close)


def test_as_many_rows_as_positions_can_be_self_attention(randomise):
    joint = randomise(build("self_attention", 8, spatial_dims=2)).double()
    module = build("linformer", 8, spatial_dims=2, grid=(3, 4), rows=12, share=True).double()
    every = torch.eye(12, dtype=torch.float64)
    module.load_state_dict({**joint.state_dict(), "key_rows": every})
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(module(x), joint(x), atol=1e-12, rtol=1e-12)


def test_new_rows_are_drawn_so_that_sums_keep_their_size():
    module = build("linformer", 8, grid=(8, 14, 14))
    for table in (module.key_rows, module.value_rows):
        assert table.shape == (32, 1568)
        assert abs(table.std().item() - 32**-0.5) < 0.005


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": (3, 4)}, "grid: expected 3 positive sizes, got .3, 4."),
        ({"heads": 3}, "heads: expected a divisor of 8 channels, got 3"),
        ({"rows": 0}, "rows: expected at least 1, got 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("linformer", 8, **{"grid": (2, 3, 3), **settings})
