"""What training makes of a choice, for all that choose the best by a score."""

from __future__ import annotations

import pytest
import torch

from vidattn.attention import build

CHOICES = [
    ("gumbel_top_k", {}, (2, 9)),
    ("gumbel_top_k", {"hard": False}, (2, 9)),
    ("perturbed_top_k", {"sigma": 0.5}, (2, 30, 9)),
    ("perturbed_top_k", {"sigma": 0.5, "gradient": "diagonal"}, (2, 30, 9)),
    ("straight_through_top_k", {}, None),
    ("straight_through_top_k", {"surrogate": "softmax"}, None),
]


@pytest.mark.parametrize(("name", "settings", "shape"), CHOICES, ids=str)
def test_padding_teaches_nothing(name, settings, shape, randomise):
    """Values and gradients are those of the sequence without it."""
    module = build(name, 5, spatial_dims=1, tokens=3, hidden_channels=4, **settings)
    module = randomise(module).double().train()
    kept = torch.tensor([1, 1, 0, 1, 1, 0, 1, 0, 1]).bool()
    x = torch.randn(2, 5, 9, dtype=torch.float64)
    noise = None if shape is None else torch.randn(shape, dtype=torch.float64)
    upstream = torch.randn(2, 3, 9, dtype=torch.float64)
    found = []
    for given in (slice(None), kept):
        mask = kept.reshape(1, 1, 9) if isinstance(given, slice) else None
        drawn = None if noise is None else noise[..., given]
        module.zero_grad()
        source = module(x[..., given], mask=mask, noise=drawn).source
        (source * upstream[..., given]).sum().backward()
        gradients = [one.grad.clone() for one in module.parameters()]
        found.append([source if mask is None else source[..., kept], *gradients])
    for ours, theirs in zip(*found, strict=True):
        assert theirs.any()
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("name", "settings", "shape"), CHOICES, ids=str)
def test_what_is_drawn_depends_on_the_seed_alone(name, settings, shape, randomise):
    """Without noise given, training draws its own, another one each time."""
    module = build(name, 5, spatial_dims=1, tokens=3, hidden_channels=4, **settings)
    module = randomise(module).double().train()
    x = torch.randn(64, 5, 9, dtype=torch.float64)
    sources = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        sources.append(module(x).source)
    assert torch.equal(sources[0], sources[1])
    assert torch.equal(sources[0], sources[2]) == (shape is None)
