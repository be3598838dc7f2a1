from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidattn.attention import build
from vidattn.attention.token.perturbed_top_k import perturbed_top_k


def reference(scores, count, noise, sigma):
    """Forward value and the expected derivative of every row by every score, one draw at a time."""
    batch, samples, length = noise.shape
    rows = torch.zeros(batch, count, length, dtype=scores.dtype)
    slope = torch.zeros(batch, count, length, length, dtype=scores.dtype)
    for n in range(batch):
        for draw in noise[n]:
            values = (scores[n] + sigma * draw).tolist()
            best = sorted(sorted(range(length), key=lambda i: -values[i])[:count])
            for slot, position in enumerate(best):
                rows[n, slot, position] += 1 / samples
                slope[n, slot, position] += draw / (sigma * samples)
    return rows, slope


def test_value_and_gradient_equal_reference():
    scores = torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 40, 7, dtype=torch.float64)
    rows = perturbed_top_k(scores, 3, None, noise=noise, sigma=0.6)
    expected, slope = reference(scores.detach(), 3, noise, 0.6)
    torch.testing.assert_close(rows, expected, atol=1e-12, rtol=1e-12)
    upstream = torch.randn_like(rows)
    (gradient,) = torch.autograd.grad(rows, scores, upstream)
    by_hand = torch.einsum("nkl,nklm->nm", upstream, slope)
    torch.testing.assert_close(gradient, by_hand, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("padded", [True, False])
def test_diagonal_gradient_is_of_the_chosen_positions_own_score(padded):
    """As the authors' code: upstream and E[onehot · Z] / σ multiplied position by position."""
    scores = torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 40, 7, dtype=torch.float64)
    kept = torch.tensor([True] * 5 + [False, True]).expand(2, 7) if padded else None
    settings = {"noise": noise, "sigma": 0.6}
    rows = perturbed_top_k(scores, 3, kept, **settings, gradient="diagonal")
    assert torch.equal(rows, perturbed_top_k(scores, 3, kept, **settings))
    real = list(range(7)) if kept is None else [0, 1, 2, 3, 4, 6]
    _, slope = reference(scores.detach()[:, real], 3, noise[..., real], 0.6)
    upstream = torch.randn_like(rows)
    (gradient,) = torch.autograd.grad(rows, scores, upstream)
    by_hand = torch.einsum("nkl,nkl->nl", upstream[..., real], slope.diagonal(dim1=2, dim2=3))
    torch.testing.assert_close(gradient[:, real], by_hand, atol=1e-10, rtol=1e-10)
    assert not padded or (gradient[:, 5] == 0).all()


def test_gradient_by_name_reaches_the_mechanism():
    x, upstream = torch.randn(2, 4, 9).double(), torch.randn(2, 4, 2).double()
    noise, found = torch.randn(2, 30, 9).double(), {}
    for gradient in ("full", "diagonal"):
        torch.manual_seed(0)
        module = build("perturbed_top_k", 4, spatial_dims=1, tokens=2, gradient=gradient).double()
        (module(x, noise=noise).features * upstream).sum().backward()
        found[gradient] = module.score.score.weight.grad
    assert not torch.allclose(found["full"], found["diagonal"])
    with pytest.raises(ValueError, match="gradient: expected 'full' or 'diagonal', got 'half'"):
        build("perturbed_top_k", 4, gradient="half")


def test_gradient_is_that_of_the_smoothed_objective():
    """Finite differences of the expectation, which shared noise makes comparable."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.tensor([[0.3, -0.2, 0.1, 0.4, 0.0]], dtype=torch.float64)
    value = torch.randn(1, 2, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(1, 200_000, 5, generator=generator, dtype=torch.float64)
    sigma, step = 0.5, 0.05

    def objective(at):
        return (perturbed_top_k(at, 2, None, noise=noise, sigma=sigma) * value).sum()

    leaf = scores.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(leaf), leaf)
    differences = torch.stack(
        [
            (objective(scores + move) - objective(scores - move)) / (2 * step)
            for move in step * torch.eye(5, dtype=torch.float64)
        ]
    )
    torch.testing.assert_close(gradient[0], differences, atol=0.02, rtol=0)


@pytest.mark.parametrize("grid", [(7,), (3, 4), (2, 3, 2)])
def test_mechanism_equals_reference(grid, randomise):
    module = build("perturbed_top_k", 5, spatial_dims=len(grid), tokens=3, hidden_channels=4)
    module = randomise(module).double().train()
    x = torch.randn(2, 5, *grid, dtype=torch.float64)
    flat = x.flatten(2)
    noise = torch.randn(2, 30, flat.shape[2], dtype=torch.float64)
    hidden = module.score.hidden
    inner = torch.tanh(torch.einsum("hc,ncl->nhl", hidden.weight, flat) + hidden.bias[:, None])
    scores = torch.einsum("h,nhl->nl", module.score.score.weight[0], inner)
    rows, slope = reference(scores.detach(), 3, noise, 0.05)
    out = module(x, noise=noise)
    torch.testing.assert_close(out.source.flatten(2), rows, atol=1e-10, rtol=1e-10)
    features = torch.einsum("ncl,nkl->nck", flat, rows)
    torch.testing.assert_close(out.features, features, atol=1e-10, rtol=1e-10)
    upstream = torch.randn_like(out.features)
    (gradient,) = torch.autograd.grad(out.features, hidden.weight, upstream, retain_graph=True)
    toward = torch.einsum("nck,ncl,nklm->nm", upstream, flat, slope)
    (expected,) = torch.autograd.grad(scores, hidden.weight, toward)
    torch.testing.assert_close(gradient, expected, atol=1e-9, rtol=1e-9)

    best = scores.sort(descending=True).indices[:, :3].sort().values
    out = module.eval()(x)
    assert torch.equal(out.positions, best)
    assert torch.equal(out.source.flatten(2), F.one_hot(best, flat.shape[2]).double())
    chosen = torch.stack([sample[:, index] for sample, index in zip(flat, best, strict=True)])
    assert torch.equal(out.features, chosen)


def test_padding_is_never_chosen_under_noise(randomise):
    module = randomise(build("perturbed_top_k", 5, spatial_dims=1, tokens=3, sigma=5.0)).train()
    mask = torch.tensor([True, False, True, False, False, True, True]).reshape(1, 1, 7)
    out = module(torch.randn(2, 5, 7), mask=mask)
    assert (out.source[:, :, ~mask[0, 0]] == 0).all()
    torch.testing.assert_close(out.source.sum(2), torch.ones(2, 3))


def test_too_few_positions_leave_tokens_out():
    for training in (True, False):
        module = build("perturbed_top_k", 5, spatial_dims=1, tokens=4).train(training)
        out = module(torch.randn(1, 5, 6), mask=torch.tensor([0, 1, 0, 0, 1, 0]).bool()[None, None])
        assert out.valid.tolist() == [[True, True, False, False]]
        assert out.positions[0, :2].tolist() == [1, 4]
        assert (out.features[:, :, 2:] == 0).all()


def test_no_sigma_is_a_hard_choice_without_gradient():
    scores = torch.randn(2, 7, requires_grad=True)
    rows = perturbed_top_k(scores, 3, None, noise=torch.randn(2, 4, 7), sigma=0.0)
    assert set(rows.unique().tolist()) == {0.0, 1.0}
    assert not rows.requires_grad


def test_noise_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"noise: expected \(2, samples, 7\), got \(2, 7\)"):
        perturbed_top_k(torch.zeros(2, 7), 3, None, noise=torch.zeros(2, 7), sigma=0.1)


def test_training_learns_to_find_the_marked_position():
    """The target is seen only through what is chosen."""
    torch.manual_seed(0)
    module = build(
        "perturbed_top_k", 4, spatial_dims=1, tokens=1, hidden_channels=8, sigma=0.3, samples=50
    )
    head = nn.Linear(4, 2)
    optimiser = torch.optim.Adam([*module.parameters(), *head.parameters()], lr=0.05)
    for _ in range(120):
        x, label = marked(32)
        loss = F.cross_entropy(head(module.train()(x).features.squeeze(2)), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, label = marked(200)
    found = x[:, 0].argmax(1) == module.eval()(x).positions[:, 0]
    assert found.float().mean() > 0.5, "one in nine by chance"


def marked(count: int):
    """Noise, with one position marked by channel 0 and labelled by the sign of channel 1."""
    x = torch.randn(count, 4, 9)
    x[:, 0] = 0
    label, place = torch.randint(2, (count,)), torch.randint(9, (count,))
    x[range(count), 0, place] = 2.0
    x[range(count), 1, place] = 4.0 * label - 2
    return x, label


def test_training_compiles_to_one_graph():
    module = build("perturbed_top_k", 4, tokens=3).double().train()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    x = torch.randn(2, 4, 2, 3, 3, dtype=torch.float64)
    noise = torch.randn(2, 20, 18, dtype=torch.float64)
    for ours, theirs in zip(compiled(x, noise=noise), module(x, noise=noise), strict=True):
        torch.testing.assert_close(ours, theirs)
