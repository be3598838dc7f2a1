from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch

from vidattn.attention import build
from vidattn.attention.token.gumbel_top_k import gumbel_noise, relaxed_top_k


def reference(perturbed, count, temperature):
    """One sample: relaxed rows in the order of drawing, and the order; plain numbers."""
    scores = perturbed.tolist()
    rows = []
    for _ in range(count):
        powers = [math.exp(score / temperature) for score in scores]
        row = [power / sum(powers) for power in powers]
        scores = [score + math.log(1 - share) for score, share in zip(scores, row, strict=True)]
        rows.append(row)
    order = sorted(range(len(scores)), key=lambda i: -perturbed[i])[:count]
    return torch.tensor(rows, dtype=torch.float64), order


@pytest.mark.parametrize("grid", [(7,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("hard", [True, False])
def test_equals_reference(grid, hard, randomise):
    module = build("gumbel_top_k", 5, spatial_dims=len(grid), tokens=3, temperature=0.7, hard=hard)
    module = randomise(module).double().train()
    x = torch.randn(2, 5, *grid, dtype=torch.float64)
    flat = x.flatten(2)
    noise = torch.randn(2, flat.shape[2], dtype=torch.float64)
    scores = module.score(x).flatten(1)
    out = module(x, noise=noise)
    for n in range(2):
        soft, order = reference((scores + noise)[n].detach(), 3, 0.7)
        ranked = sorted(range(3), key=lambda i: order[i])
        expected = soft[ranked]
        if hard:
            expected = torch.zeros_like(soft)
            for slot, position in enumerate(sorted(order)):
                expected[slot, position] = 1
        got = out.source[n].flatten(1)
        torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(out.features[n], flat[n] @ expected.T, atol=1e-10, rtol=1e-10)
    evaluated = module.eval()(x)
    best = scores.sort(descending=True).indices[:, :3].sort().values
    assert torch.equal(evaluated.positions, best)


def test_hard_choice_has_the_gradient_of_the_relaxed_one(randomise):
    gradients = []
    for hard in (True, False):
        module = build("gumbel_top_k", 5, spatial_dims=1, tokens=3, temperature=0.7, hard=hard)
        module = randomise(module).double().train()
        generator = torch.Generator().manual_seed(0)
        x, noise, upstream = (
            torch.randn(shape, generator=generator, dtype=torch.float64)
            for shape in ((2, 5, 7), (2, 7), (2, 3, 7))
        )
        (module(x, noise=noise).source * upstream).sum().backward()
        gradients.append(module.score.hidden.weight.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


def test_relaxed_rows_have_the_gradient_of_their_formula():
    scores = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]]).bool()

    def rows(scores):
        return relaxed_top_k(scores, 3, mask, temperature=0.5)

    assert torch.autograd.gradcheck(rows, scores)


def test_cold_rows_are_the_hard_choice():
    scores = torch.tensor([[0.1, 0.9, -0.4, 0.6]], dtype=torch.float64)
    rows = relaxed_top_k(scores, 2, None, temperature=0.01)
    expected = torch.tensor([[[0, 1, 0, 0], [0, 0, 0, 1]]], dtype=torch.float64)
    torch.testing.assert_close(rows, expected, atol=1e-9, rtol=0)


def test_draws_without_replacement_have_the_plackett_luce_frequencies():
    torch.manual_seed(0)
    scores = torch.tensor([0.5, -0.3, 0.2, 0.0])
    drawn = (scores + gumbel_noise(scores.expand(40_000, 4))).topk(2).indices
    counts = Counter(tuple(pair) for pair in drawn.tolist())
    shares = scores.softmax(0).tolist()
    for first, second in itertools.permutations(range(4), 2):
        expected = shares[first] * shares[second] / (1 - shares[first])
        assert abs(counts[first, second] / 40_000 - expected) < 0.01


def test_fewer_real_positions_than_tokens_stay_finite(randomise):
    module = randomise(build("gumbel_top_k", 5, spatial_dims=1, tokens=4)).train()
    mask = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]).bool().unsqueeze(1)
    out = module(torch.randn(2, 5, 5), mask=mask)
    out.features.sum().backward()
    assert out.valid.tolist() == [[True, True, False, False], [False] * 4]
    assert out.positions[0, :2].tolist() == [1, 3]
    assert module.score.hidden.weight.grad.isfinite().all()


def test_settings_and_noise_are_checked():
    with pytest.raises(ValueError, match="temperature: expected above 0, got 0"):
        build("gumbel_top_k", 5, temperature=0)
    module = build("gumbel_top_k", 5, spatial_dims=1).train()
    with pytest.raises(ValueError, match=r"noise: expected \(1, 9\), got \(1, 8\)"):
        module(torch.zeros(1, 5, 9), noise=torch.zeros(1, 8))
