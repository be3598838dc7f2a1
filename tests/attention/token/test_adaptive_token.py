from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(9,), (3, 4), (2, 3, 3)])
def test_equals_reference(grid, randomise):
    module = randomise(build("adaptive_token", 5, spatial_dims=len(grid), temperature=3.0)).double()
    x = torch.randn(2, 5, *grid, dtype=torch.float64)
    noise = torch.randn(2, 1, *grid, 2, dtype=torch.float64)
    score = torch.einsum("c,nc...->n...", module.score.weight[0], x) + module.score.bias
    expected = x * (score > 0).unsqueeze(1)
    torch.testing.assert_close(module.eval()(x), expected, atol=0, rtol=0)
    torch.testing.assert_close(module(x, noise=noise), expected, atol=0, rtol=0)

    out = module.train()(x, noise=noise)
    drawn = score + noise[:, 0, ..., 0] - noise[:, 0, ..., 1]
    torch.testing.assert_close(out, x * (drawn > 0).unsqueeze(1), atol=1e-12, rtol=1e-12)
    upstream = torch.randn_like(out)
    (gradient,) = torch.autograd.grad(out, module.score.weight, upstream, retain_graph=True)
    soft = x.detach() * (1 / (1 + (-drawn / 3.0).exp())).unsqueeze(1)
    (by_hand,) = torch.autograd.grad(soft, module.score.weight, upstream)
    torch.testing.assert_close(gradient, by_hand, atol=1e-10, rtol=1e-10)


def test_map_is_what_was_kept(randomise):
    module = randomise(build("adaptive_token", 5)).eval()
    x = torch.randn(2, 5, 2, 3, 3)
    with record_maps(module) as maps:
        out = module(x)
    assert maps[0].kind == "selection"
    assert torch.equal(maps[0].values[:, 0] == 1, (out != 0).any(1))
    torch.nn.init.constant_(module.score.bias, 100.0)
    mask = torch.arange(3).lt(2).expand(2, 1, 2, 3, 3)
    with record_maps(module) as maps:
        module(x, mask=mask)
    assert torch.equal(maps[0].values, mask.float())


def test_temperature_of_the_paper_is_five_and_scales_the_gradient(randomise):
    """d σ(z / τ) / ds = σ(z / τ) (1 − σ(z / τ)) / τ, with z the score and its noise."""
    x = torch.randn(1, 5, 7, dtype=torch.float64)
    noise = torch.randn(1, 1, 7, 2, dtype=torch.float64)
    for settings, temperature in (({}, 5.0), ({"temperature": 0.5}, 0.5)):
        module = randomise(build("adaptive_token", 5, spatial_dims=1, **settings)).double().train()
        module(x, noise=noise).sum().backward()
        score = torch.einsum("c,ncl->nl", module.score.weight[0].detach(), x)
        drawn = score + module.score.bias.detach() + noise[:, 0, :, 0] - noise[:, 0, :, 1]
        share = 1 / (1 + (-drawn / temperature).exp())
        expected = (x.sum(1) * share * (1 - share) / temperature).sum()
        torch.testing.assert_close(module.score.bias.grad[0], expected, atol=1e-12, rtol=1e-10)


def test_a_position_without_evidence_is_dropped():
    """Evaluation keeps where s > 0: here s is b."""
    module = build("adaptive_token", 5, spatial_dims=1).eval()
    x = torch.ones(1, 5, 3)
    for bias, kept in ((0.0, 0.0), (1e-6, 1.0)):
        torch.nn.init.zeros_(module.score.weight)
        torch.nn.init.constant_(module.score.bias, bias)
        assert (module(x) == kept).all()
