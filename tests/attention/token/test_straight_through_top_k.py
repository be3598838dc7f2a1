from __future__ import annotations

import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("grid", [(7,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("surrogate", ["sigmoid", "softmax"])
def test_value_is_hard_and_gradient_is_soft(grid, surrogate, randomise):
    module = build(
        "straight_through_top_k", 5, spatial_dims=len(grid), tokens=3, surrogate=surrogate
    )
    module = randomise(module).double().train()
    x = torch.randn(2, 5, *grid, dtype=torch.float64)
    flat = x.flatten(2)
    out = module(x)
    scores = module.score(x).flatten(1)
    best = scores.sort(descending=True).indices[:, :3].sort().values
    chosen = torch.stack([sample[:, index] for sample, index in zip(flat, best, strict=True)])
    torch.testing.assert_close(out.features, chosen, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(module.eval()(x).features, chosen, atol=1e-12, rtol=1e-12)

    upstream = torch.randn_like(chosen)
    weight = module.score.hidden.weight
    (gradient,) = torch.autograd.grad(out.features, weight, upstream)
    # d token / d weight is the position's feature.
    pull = (upstream * chosen).sum(1)
    soft = 1 / (1 + (-scores).exp()) if surrogate == "sigmoid" else scores.exp()
    soft = soft if surrogate == "sigmoid" else soft / soft.sum(1, keepdim=True)
    (expected,) = torch.autograd.grad(soft.gather(1, best), weight, pull)
    torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=1e-10)


def test_unknown_surrogate_and_noise_are_refused():
    with pytest.raises(ValueError, match="surrogate: expected 'sigmoid' or 'softmax', got 'tanh'"):
        build("straight_through_top_k", 5, surrogate="tanh")
    with pytest.raises(ValueError, match="noise: expected None"):
        build("straight_through_top_k", 5).train()(torch.zeros(1, 5, 2, 2, 2), noise=torch.zeros(1))


@pytest.mark.parametrize("surrogate", ["sigmoid", "softmax"])
def test_padding_takes_no_share_of_the_gradient(surrogate, randomise):
    module = build("straight_through_top_k", 6, spatial_dims=1, tokens=2, surrogate=surrogate)
    module = randomise(module).double().train()
    x = torch.randn(2, 6, 9, dtype=torch.float64)
    mask = torch.arange(9).lt(5).reshape(1, 1, 9)
    gradients = []
    for given in ({"x": x, "mask": mask}, {"x": x[..., :5]}):
        module.zero_grad()
        (module(**given).features * torch.linspace(1, 2, 6).reshape(6, 1)).sum().backward()
        gradients.append([one.grad.clone() for one in module.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


def test_padding_is_never_chosen_however_it_scores(randomise):
    module = randomise(build("straight_through_top_k", 6, spatial_dims=1, tokens=4)).double()
    x = torch.randn(2, 6, 9, dtype=torch.float64)
    for training in (True, False):
        module.train(training)
        best = module(x).source.sum(1).argmax(1)
        mask = torch.ones(2, 1, 9, dtype=torch.bool)
        mask[torch.arange(2), 0, best] = False
        chosen = module(x, mask=mask).source.sum(1)
        assert (chosen[torch.arange(2), best] == 0).all()
        assert ((chosen > 0).sum(1) == 4).all()
