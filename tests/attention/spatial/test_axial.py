from __future__ import annotations

import pytest
import torch
from torch import nn

from vidattn.attention import build, record_maps


def read_lines(attention, x, mask, axis):
    """x plus what each position reads on its line, line by line."""
    weights = dict(attention.named_parameters())
    out = x.clone()
    lines, masks = (part.movedim(axis + 2, -1) for part in (x, mask))
    target = out.movedim(axis + 2, -1)
    for n in range(len(x)):
        for site in torch.cartesian_prod(*map(torch.arange, lines.shape[2:-1])).reshape(
            -1, x.ndim - 3
        ):
            where = (n, slice(None), *site.tolist())
            kept = masks[(n, 0, *site.tolist())].nonzero().flatten()
            if not len(kept):
                continue
            tokens = lines[where].T[kept]
            normed = nn.functional.layer_norm(
                tokens, tokens.shape[1:], weights["norm.weight"], weights["norm.bias"]
            )
            projected = normed @ weights["query_key_value.weight"].T
            projected = projected + weights["query_key_value.bias"]
            query, key, value = projected.reshape(len(kept), 3, attention.heads, -1).unbind(1)
            logits = torch.einsum("ihd,jhd->hij", query, key) / query.shape[2] ** 0.5
            mixed = torch.einsum("hij,jhd->ihd", logits.softmax(2), value).flatten(1)
            added = mixed @ weights["output.weight"].T + weights["output.bias"]
            target[where][:, kept] += added.T
    return out


@pytest.mark.parametrize("grid", [(4, 5), (3, 4, 5), (1, 3, 4), (4, 1, 3)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_line_by_line(grid, padded, training, randomise):
    module = build("axial", 8, spatial_dims=len(grid), heads=2)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    expected = x
    for axis, name in enumerate("THW"[-len(grid) :]):
        if grid[axis] > 1:
            expected = read_lines(module.along[name].module, expected.detach(), mask, axis)
    out = module(x, mask=mask if padded else None)
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.oracle
def test_equals_axial_attention(randomise):
    library = pytest.importorskip("axial_attention.axial_attention")
    ours = randomise(build("axial", 8, spatial_dims=3, heads=2)).double()
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    expected = x
    permutations = library.calculate_permutations(3, 1)
    for permutation, along in zip(permutations, ours.along.values(), strict=True):
        attention = library.SelfAttention(8, 2).double()
        layer = library.PermuteToFrom(permutation, library.PreNorm(8, attention)).double()
        with torch.no_grad():
            layer.fn.norm.load_state_dict(along.module.norm.state_dict())
            along.module.query_key_value.bias.zero_()  # theirs has none
            attention.to_q.weight.copy_(along.module.query_key_value.weight[:8])
            attention.to_kv.weight.copy_(along.module.query_key_value.weight[8:])
            attention.to_out.load_state_dict(along.module.output.state_dict())
        expected = expected + layer(expected)
    torch.testing.assert_close(ours(x), expected, atol=1e-12, rtol=1e-12)


def test_one_map_for_each_axis(randomise):
    module = randomise(build("axial", 8, heads=2))
    with record_maps(module) as maps:
        module(torch.randn(2, 8, 3, 4, 5))
    assert [found.name for found in maps] == [f"along.{axis}.module" for axis in "THW"]
    for axis, found in enumerate(maps):
        sums = found.values.sum(axis + 2)
        torch.testing.assert_close(sums, torch.ones_like(sums))


def test_a_position_is_reached_in_as_many_steps_as_axes(randomise):
    module = randomise(build("axial", 8, spatial_dims=2, heads=2)).double()
    x = torch.randn(1, 8, 4, 5, dtype=torch.float64, requires_grad=True)
    module(x)[0, :, 1, 2].sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()
    x.grad = None
    module.along["W"](x)[0, :, 1, 2].sum().backward()
    assert (x.grad.abs().sum(1)[0] > 0).any(1).tolist() == [False, True, False, False]


def test_a_single_position_is_left_as_it_is_and_returned_fresh():
    x = torch.randn(2, 8, 1, 1, 1)
    out = build("axial", 8, heads=2)(x)
    assert torch.equal(out, x)
    assert out.data_ptr() != x.data_ptr()
