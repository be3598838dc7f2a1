from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps
from vidattn.attention.structured.sinkhorn_attention import sinkhorn


def normalise_by_turns(powers, iterations):
    """Plain division, rows first and last."""
    for turn in range(iterations):
        powers = powers / powers.sum(1, keepdim=True)
        if turn < iterations - 1:
            powers = powers / powers.sum(0, keepdim=True)
    return powers


@pytest.mark.parametrize("grid", [(6,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, iterations, training, randomise):
    module = build(
        "sinkhorn", 6, spatial_dims=len(grid), heads=2, iterations=iterations, temperature=0.7
    )
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 6, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < 0.7
    mask[..., 0] = True
    for given in (None, mask):
        out = module(x, mask=given)
        for n in range(2):
            columns = x[n].flatten(1).T
            real = torch.ones(len(columns)).bool() if given is None else mask[n].flatten()
            tokens = columns[real]
            centred = tokens - tokens.mean(1, keepdim=True)
            normed = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt()
            normed = normed * module.norm.weight + module.norm.bias
            parts = normed @ module.query_key_value.weight.T + module.query_key_value.bias
            mixed = []
            for head in range(2):
                query, key, value = (
                    parts[:, start + 3 * head : start + 3 * head + 3] for start in (0, 6, 12)
                )
                powers = (query @ key.T / 3**0.5 / 0.7).exp()
                mixed.append(normalise_by_turns(powers, iterations) @ value)
            added = torch.cat(mixed, 1) @ module.output.weight.T + module.output.bias
            expected = columns.clone()
            expected[real] += added
            got = out[n].flatten(1).T
            torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)


def by_potentials(scores, turns, *, constant):
    """As the authors' code: potentials of rows and columns, one after the other, rows last."""
    row, column = scores.new_zeros(len(scores)), scores.new_zeros(len(scores))
    for turn in range(turns):
        moved = scores + row[:, None] + column
        if turn % 2 == 0:
            row = row - moved.logsumexp(1)
        else:
            column = column - moved.logsumexp(0)
            column = column.detach() if constant else column
    return (scores + row[:, None] + column).exp()


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("padded", [True, False])
def test_gradient_through_columns_or_not_is_that_of_the_authors(constant, iterations, padded):
    scores = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 4 + [False] * 2]) if padded else None
    real = 4 if padded else 6
    settings = {"iterations": iterations, "constant_columns": constant}
    found = sinkhorn(scores, mask, **settings)
    upstream = torch.randn_like(found)
    (gradient,) = torch.autograd.grad(found, scores, upstream)
    for head in range(2):
        alone = scores.detach()[0, head, :real, :real].requires_grad_()
        expected = by_potentials(alone, 2 * iterations - 1, constant=constant)
        (slope,) = torch.autograd.grad(expected, alone, upstream[0, head, :real, :real])
        close = {"atol": 1e-12, "rtol": 1e-12}
        torch.testing.assert_close(found[0, head, :real, :real], expected, **close)
        torch.testing.assert_close(gradient[0, head, :real, :real], slope, **close)


def test_constant_columns_change_the_gradient_only(randomise):
    x, found = torch.randn(2, 8, 5, dtype=torch.float64), []
    for constant in (True, False):
        module = build("sinkhorn", 8, spatial_dims=1, heads=2, constant_columns=constant)
        out = randomise(module).double()(x)
        out.square().sum().backward()
        found.append((out, module.query_key_value.weight.grad))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-12, rtol=1e-12)
    assert not torch.allclose(found[0][1], found[1][1])


def test_what_comes_of_rounded_queries_is_exact_under_autocast(randomise):
    module = randomise(build("sinkhorn", 8, spatial_dims=1, heads=2)).requires_grad_(False)
    x = torch.randn(1, 8, 6)
    with torch.autocast("cpu", torch.bfloat16), record_maps(module, affinities="full") as maps:
        module(x)
        rounded = module.query_key_value(module.norm(x.transpose(1, 2)))[0].double()
    for head in range(2):
        query, key = (rounded[:, start + 4 * head : start + 4 * head + 4] for start in (0, 8))
        expected = normalise_by_turns((query @ key.T / 2).exp(), 3)
        found = maps[0].affinity[0, head].double()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_rows_and_columns_sum_to_one_in_the_end():
    scores = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    mask = torch.tensor([[True] * 7, [True, False, True, True, False, True, True]])
    for given in (None, mask):
        affinity = sinkhorn(scores, given, iterations=200)
        kept = torch.ones(2, 7).bool() if given is None else mask
        sums = kept.double().unsqueeze(1).expand(-1, 3, -1)
        torch.testing.assert_close(affinity.sum(3), sums, atol=1e-12, rtol=0)
        torch.testing.assert_close(affinity.sum(2), sums, atol=1e-12, rtol=0)


def test_one_iteration_is_self_attention(randomise):
    ours = randomise(build("sinkhorn", 16, heads=4, iterations=1)).double()
    theirs = build("self_attention", 16, heads=4).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 16, 2, 3, 4, dtype=torch.float64)
    mask = torch.rand(2, 1, 2, 3, 4) < 0.7
    for given in (None, mask):
        torch.testing.assert_close(ours(x, mask=given), theirs(x, mask=given))


def test_everybody_is_read_equally_much(randomise):
    module = randomise(build("sinkhorn", 16, iterations=100)).double()
    with record_maps(module) as maps:
        module(torch.randn(2, 16, 2, 3, 4, dtype=torch.float64))
    expected = torch.full_like(maps[0].values, 1 / 24)
    torch.testing.assert_close(maps[0].values, expected, atol=1e-4, rtol=0)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("sinkhorn", 20)
    with pytest.raises(ValueError, match="iterations: expected at least 1, got 0"):
        build("sinkhorn", 16, iterations=0)
