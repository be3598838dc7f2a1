from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps
from vidattn.attention.token.token_merging import merge_targets, proportional_attention


def reference(x, metric, sizes, real, merged):
    """One sample, x (L, C): a dictionary of clusters, joined pair by pair."""
    length = len(x)
    cosines = {}
    for a in range(0, length, 2):
        for b in range(1, length, 2):
            if real[a] and real[b]:
                norm = metric[a].pow(2).sum().sqrt() * metric[b].pow(2).sum().sqrt()
                cosines[a, b] = float((metric[a] * metric[b]).sum() / norm)
    pairs = []
    for a in range(0, length, 2):
        of_a = {b: value for (one, b), value in cosines.items() if one == a}
        if of_a:
            b = max(of_a, key=of_a.get)
            pairs.append((of_a[b], a, b))
    pairs.sort(reverse=True)
    members = {position: [position] for position in range(length) if real[position]}
    for _, a, b in pairs[: min(merged, sum(real) // 2)]:
        members[b] += members.pop(a)
    tokens, source = [], []
    for position in sorted(members):
        weight = torch.zeros(length, dtype=x.dtype)
        for member in members[position]:
            weight[member] = sizes[member]
        weight = weight / weight.sum()
        source.append(weight)
        tokens.append(sum(weight[member] * x[member] for member in members[position]))
    return torch.stack(tokens), torch.stack(source)


@pytest.mark.parametrize("grid", [(11,), (3, 4), (2, 3, 3)])
@pytest.mark.parametrize("merged", [0, 3, 50])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, merged, training):
    module = build("token_merging", 6, spatial_dims=len(grid), merged=merged).train(training)
    x = torch.randn(2, 6, *grid, dtype=torch.float64)
    keys = torch.randn(2, 3, *grid, dtype=torch.float64)
    sizes = torch.randint(1, 5, (2, *grid)).double()
    length = x[0, 0].numel()
    mask = torch.rand(2, 1, *grid) < 0.7
    for given in ({}, {"mask": mask}, {"likeness": keys, "sizes": sizes, "mask": mask}):
        out = module(x, **given)
        assert out.features.shape[2] == length - min(merged, length // 2)
        for n in range(2):
            real = mask[n].flatten().tolist() if "mask" in given else [True] * length
            metric = given.get("likeness", x)[n].flatten(1).T
            size = given.get("sizes", torch.ones(2, *grid))[n].flatten()
            tokens, source = reference(x[n].flatten(1).T, metric, size, real, merged)
            kept = out.valid[n]
            torch.testing.assert_close(out.features[n].T[kept], tokens, atol=1e-10, rtol=1e-10)
            found = out.source[n].flatten(1)
            torch.testing.assert_close(found[kept], source, atol=1e-10, rtol=1e-10)
            assert (found[~kept] == 0).all()


def test_equal_positions_are_merged_and_others_stay():
    """The second half repeats the first: what is merged loses nothing."""
    first = torch.randn(1, 4, 5, dtype=torch.float64)
    x = first.repeat_interleave(2, dim=2)
    out = build("tome", 4, spatial_dims=1, merged=5)(x)
    torch.testing.assert_close(out.features, first)
    assert (out.source > 0).sum(2).tolist() == [[2] * 5]


def test_map_shows_the_clusters():
    module = build("tome", 4, merged=3)
    x = torch.randn(2, 4, 2, 3, 2)
    with record_maps(module) as maps:
        out = module(x)
    assert torch.equal(maps[0].values, out.source)
    torch.testing.assert_close(maps[0].values.sum((2, 3, 4)), torch.ones(2, 9))


def test_attention_to_merged_tokens_equals_attention_to_their_members():
    """Three keys of sizes 1, 3 and 2 are six keys, some of them equal."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, 4, count, 5, generator=generator, dtype=torch.float64) for count in (7, 3, 3)
    )
    sizes = torch.tensor([[1, 3, 2], [1, 3, 2]])
    out = proportional_attention(query, key, value, sizes, scale=0.3)
    repeats = torch.tensor([0, 1, 1, 1, 2, 2])
    affinity = (0.3 * torch.einsum("nhqd,nhkd->nhqk", query, key[:, :, repeats])).exp()
    affinity = affinity / affinity.sum(3, keepdim=True)
    torch.testing.assert_close(out, affinity @ value[:, :, repeats], atol=1e-12, rtol=1e-12)
    none = proportional_attention(query, key, value, sizes * torch.tensor([1, 0, 1]), scale=0.3)
    some = proportional_attention(query, key[:, :, ::2], value[:, :, ::2], sizes[:, ::2], scale=0.3)
    torch.testing.assert_close(none, some)


def test_fewer_than_none_is_refused():
    with pytest.raises(ValueError, match="merged: expected at least 0, got -1"):
        build("tome", 4, merged=-1)


def test_likeness_is_exact_under_autocast():
    """Cosines of 0.9992 and 0.9988 are one number in bfloat16."""
    angles = torch.tensor([0, 0.05, 1.57, 0.04])
    x = torch.stack((angles.cos(), angles.sin()))[None]
    with torch.autocast("cpu", torch.bfloat16):
        source = build("token_merging", 2, spatial_dims=1, merged=1)(x).source[0]
    assert source.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0.5, 0, 0, 0.5]]


@pytest.mark.parametrize("nothing", [float("nan"), float("inf")])
def test_likeness_at_padding_is_not_looked_at(nothing):
    module = build("tome", 8, spatial_dims=1, merged=2)
    x, likeness = torch.randn(2, 8, 7), torch.randn(2, 5, 7)
    mask = torch.arange(7).lt(5).reshape(1, 1, 7)
    expected = module(x, mask=mask, likeness=likeness)
    found = module(x, mask=mask, likeness=likeness.masked_fill(~mask, nothing))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("real", "merged"), [([0, 2, 4, 6], 0), ([1, 3, 5, 7], 0), ([0, 2, 3, 4, 6], 2)]
)
def test_nothing_is_merged_where_no_partner_is_real(real, merged):
    """Partners are an even and an odd position."""
    kept = torch.zeros(1, 8, dtype=torch.bool)
    kept[0, real] = True
    into = merge_targets(torch.randn(1, 8, 4), kept, 4)[0].tolist()
    moved = [position for position in range(8) if into[position] != position]
    assert len(moved) == merged
    assert all(position in real and into[position] == 3 for position in moved)
