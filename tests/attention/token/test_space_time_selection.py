from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build
from vidattn.attention.token.space_time_selection import _to_unit_range


def score(net, tokens, real):
    """(L, C) -> L numbers, by plain formulas."""

    def linear(layer, x):
        return x @ layer.weight.T + layer.bias

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    centred = tokens - tokens.mean(1, keepdim=True)
    normed = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt()
    hidden = gelu(linear(net.hidden, normed * net.norm.weight + net.norm.bias))
    half = tokens.shape[1] // 2
    shared = hidden[real, half:].mean(0).expand(len(tokens), -1)
    hidden = torch.cat([hidden[:, :half], shared], 1)
    hidden = gelu(linear(net.score[0], hidden))
    hidden = gelu(linear(net.score[2], hidden))
    return linear(net.score[4], hidden)[:, 0]


def unit_range(scores):
    return (scores - scores.min()) / (scores.max() - scores.min() + 1e-5)


def top(scores, count):
    return sorted(sorted(range(len(scores)), key=lambda i: -float(scores[i]))[:count])


def starts(length, size):
    return range(0, length - size + 1, max(1, (length - size) // 2))


def average_choice(scores, count, noise, sigma):
    """(count, L), one draw at a time; without noise the choice itself."""
    rows = torch.zeros(count, len(scores), dtype=scores.dtype)
    draws = [scores] if noise is None else [scores + sigma * draw for draw in noise]
    for draw in draws:
        for slot, position in enumerate(top(draw, count)):
            rows[slot, position] += 1 / len(draws)
    return rows


def reference(module, x, frames, size, noise):
    """One sample without padding, x (C, T, H, W) -> tokens (K, C)."""
    channels, count, height, width = x.shape
    rows = torch.eye(1, dtype=x.dtype)
    if module.frame_score is not None:
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))]).T
        scores = unit_range(score(module.frame_score, pooled, torch.ones(count).bool()))
        rows = average_choice(scores, frames, noise and noise[0], 0.2)
    tokens = []
    for index, row in enumerate(rows):
        image = torch.einsum("t,cthw->chw", row, x)
        if module.region_score is None:
            tokens.append(image.reshape(1, channels))
            continue
        everywhere = torch.ones(height * width).bool()
        scores = score(module.region_score, image.flatten(1).T, everywhere).reshape(height, width)
        corners = [(top_, left) for top_ in starts(height, size) for left in starts(width, size)]
        means = torch.stack([scores[a : a + size, b : b + size].mean() for a, b in corners])
        choice = average_choice(unit_range(means), 1, noise and noise[1][index], 0.2)[0]
        patch = sum(
            share * image[:, a : a + size, b : b + size]
            for share, (a, b) in zip(choice, corners, strict=True)
        )
        tokens.append(patch.flatten(1).T)
    return torch.cat(tokens)


@pytest.mark.parametrize("grid", [(7,), (6, 5), (4, 6, 5), (3, 9, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, training, randomise):
    rank = len(grid)
    module = build("stts", 8, spatial_dims=rank, frames=2, region_size=3, sigma=0.2)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    clip = {1: x[..., None, None], 2: x.unsqueeze(2) if rank == 2 else x, 3: x}[rank]
    frames = 1 if rank == 2 else 2
    candidates = len(starts(clip.shape[3], 3)) * len(starts(clip.shape[4], 3))
    noise = (
        torch.randn(2, 11, clip.shape[2], dtype=torch.float64),
        torch.randn(2 * frames, 11, candidates, dtype=torch.float64),
    )
    given = {"noise": noise} if training else {}
    out = module(x, **given)
    for n in range(2):
        drawn = (noise[0][n], noise[1].unflatten(0, (2, frames))[n]) if training else None
        expected = reference(module, clip[n], frames, 3, drawn)
        torch.testing.assert_close(out.features[n].T, expected, atol=1e-10, rtol=1e-10)
    assert out.valid.all()


@pytest.mark.parametrize("rank", [1, 2])
def test_diagonal_gradient_equals_reference(rank, randomise):
    """Of frames, and of a region: upstream and E[onehot · Z] / σ, position by position."""
    settings = {"frames": 2, "region_size": 1, "sigma": 0.2, "gradient": "diagonal"}
    module = randomise(build("stts", 8, spatial_dims=rank, **settings)).double().train()
    x = torch.randn(1, 8, *((7,) if rank == 1 else (3, 3)), dtype=torch.float64)
    tokens, count = x[0].flatten(1).T, 2 if rank == 1 else 1
    noise = torch.randn(1, 11, len(tokens), dtype=torch.float64)
    net = module.frame_score if rank == 1 else module.region_score
    seen = torch.cat([tokens, tokens], 1) if rank == 1 else tokens  # of one position: mean, maximum
    scores = unit_range(score(net, seen, torch.ones(len(tokens)).bool()))
    slope = torch.zeros(count, len(tokens), dtype=torch.float64)
    for draw in noise[0]:
        for slot, position in enumerate(top(scores.detach() + 0.2 * draw, count)):
            slope[slot, position] += draw[position] / (0.2 * 11)
    upstream = torch.randn(8, count, dtype=torch.float64)
    # features = x · rowsᵀ, so that what comes back to the rows is upstreamᵀ · x.
    back = (upstream.T @ tokens.T * slope).sum(0)
    expected = torch.autograd.grad(scores, list(net.parameters()), back)
    out = module(x, noise=(noise, None) if rank == 1 else (None, noise)).features[0]
    found = torch.autograd.grad((out * upstream).sum(), list(net.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


def test_scores_learn_through_both_choices(randomise):
    module = randomise(build("stts", 8, frames=2, samples=50)).double().train()
    out = module(torch.randn(2, 8, 4, 6, 5, dtype=torch.float64))
    (out.features * torch.randn_like(out.features)).sum().backward()
    for net in (module.frame_score, module.region_score):
        assert net.hidden.weight.grad.abs().sum() > 0


def test_region_larger_than_the_image_leaves_tokens_out(randomise):
    module = randomise(build("stts", 8, spatial_dims=2, region_size=3)).eval()
    x = torch.randn(1, 8, 2, 4)
    out = module(x)
    assert out.valid.reshape(3, 3).tolist() == [[True] * 3, [True] * 3, [False] * 3]
    first = int(out.positions[0, 0])
    expected = x[0, :, :, first : first + 3].flatten(1)
    torch.testing.assert_close(out.features[0, :, :6], expected)


def test_frames_and_regions_of_padding_are_not_candidates(randomise):
    module = randomise(build("stts", 8, frames=2, region_size=2)).double()
    x = torch.randn(2, 8, 5, 6, 4, dtype=torch.float64)
    mask = torch.ones(2, 1, 5, 6, 4, dtype=torch.bool)
    mask[0, :, :3] = False
    mask[1, :, :, 3:] = False
    for training in (True, False):
        out = module.train(training)(x, mask=mask)
        assert (out.source.masked_fill(mask, 0) == 0).all()
        assert out.valid[0].all()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="frames, region_size: expected at least 1, got 0, 3"):
        build("stts", 8, frames=0)


def test_an_image_has_no_frames_to_score_and_a_sequence_no_regions():
    image, sequence = (build("space_time_selection", 8, spatial_dims=rank) for rank in (2, 1))
    assert image.frame_score is None
    assert image.region_score is not None
    assert sequence.frame_score is not None
    assert sequence.region_score is None


def test_scores_of_what_is_real_are_brought_to_the_unit_range():
    scores = torch.tensor([[2.0, 900.0, 4.0, -900.0, 3.0]], dtype=torch.float64)
    kept = torch.tensor([[True, False, True, False, True]])
    found = _to_unit_range(scores, kept)
    torch.testing.assert_close(found, torch.tensor([[0, 0, 1, 0, 0.5]]).double(), atol=1e-5, rtol=0)
