from __future__ import annotations

import itertools

import pytest
import torch

from vidattn.attention import build, record_maps

AXES = {1: "T", 2: "HW", 3: "THW"}


def reference(w, x, places, heads, sizes):
    """x (L, C) and their places, real ones only -> the result and (heads, L, L), pair by pair."""
    query, key, value = (
        x @ w["query_key_value.weight"].T + w.get("query_key_value.bias", 0)
    ).chunk(3, 1)
    width, length = x.shape[1] // heads, len(x)
    rows = torch.empty(heads, length, length, dtype=x.dtype)
    mixed = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for i, j in itertools.product(range(length), repeat=2):
            seen = key[j, part].clone()
            for axis, name in enumerate(AXES[len(sizes)]):
                away = places[j][axis] - places[i][axis]
                seen += w[f"relative.{name}"][sizes[axis] - 1 + away]
            rows[head, i, j] = query[i, part] @ seen / width**0.5
        rows[head] = rows[head].exp() / rows[head].exp().sum(1, keepdim=True)
        mixed.append(rows[head] @ value[:, part])
    return torch.cat(mixed, 1), rows


@pytest.mark.parametrize(("grid", "size"), [((5,), (5,)), ((3, 4), (3, 6)), ((2, 3, 2), (3, 3, 4))])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, size, bias, padded, training, randomise):
    module = build("botnet", 8, spatial_dims=len(grid), heads=2, bias=bias, size=size)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.6 if padded else 2)
    mask[..., 0] = True
    x = x.masked_fill(~mask, torch.inf)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    everywhere = list(itertools.product(*map(range, grid)))
    close = {"atol": 1e-12, "rtol": 1e-12}
    for n in range(2):
        real = mask[n].flatten()
        places = [place for place, kept in zip(everywhere, real, strict=True) if kept]
        tokens = x[n].flatten(1).T[real]
        expected, rows = reference(module.state_dict(), tokens, places, 2, size)
        torch.testing.assert_close(out[n].flatten(1).T[real], expected, **close)
        assert (out[n].flatten(1).T[~real] == 0).all()
        torch.testing.assert_close(maps[0].affinity[n][:, real][:, :, real], rows, **close)
        torch.testing.assert_close(maps[0].values[n].flatten(1)[:, real], rows.mean(1), **close)


def test_one_real_position_receives_all_attention(randomise):
    module = randomise(build("botnet", 8, spatial_dims=1, heads=2)).double()
    x = torch.randn(2, 8, 4, dtype=torch.float64)
    with record_maps(module) as maps:
        module(x, mask=torch.tensor([[True] + [False] * 3, [False] * 4]).unsqueeze(1))
    assert maps[0].values[0, :, :, 0, 0].tolist() == [[1, 0, 0, 0]] * 2
    assert (maps[0].values[1] == 0).all()


def test_new_tables_are_drawn_as_in_the_papers_code():
    module = build("botnet", 64, heads=1)
    assert [len(table) for table in module.relative.values()] == [63, 111, 111]
    assert abs(module.relative["H"].std().item() - 64**-0.5) < 0.01


@pytest.mark.oracle
def test_equals_timm(randomise):
    layers = pytest.importorskip("timm.layers.bottleneck_attn")
    ours = randomise(build("botnet", 16, spatial_dims=2, size=(5, 7))).double()
    theirs = layers.BottleneckAttn(16, feat_size=(5, 7), num_heads=4, scale_pos_embed=True)
    theirs.double()
    with torch.no_grad():
        weight = ours.query_key_value.weight
        theirs.qkv.weight.copy_(weight.reshape(theirs.qkv.weight.shape))
        theirs.pos_embed.height_rel.copy_(ours.relative["H"])
        theirs.pos_embed.width_rel.copy_(ours.relative["W"])
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


def test_half_precision_survives_what_would_overflow():
    module = build("botnet", 64, heads=1, size=4).half()
    with torch.no_grad():
        module.query_key_value.weight[:128].copy_(torch.eye(64).repeat(2, 1) * 20)
    assert module(torch.randn(1, 64, 2, 4, 4).half() * 4).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3}, "heads: expected a divisor of 8 channels, got 3"),
        ({"size": (3, 4)}, "size: expected 3 sizes or one, at least 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("botnet", 8, **settings)


def test_larger_x_than_the_tables_is_refused():
    module = build("botnet", 8, size=3)
    with pytest.raises(ValueError, match=r"size: expected at least \(2, 4, 3\), got \(3, 3, 3\)"):
        module(torch.zeros(1, 8, 2, 4, 3))
