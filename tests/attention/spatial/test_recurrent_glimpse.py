from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps
from vidattn.attention.spatial.recurrent_glimpse import Glimpses, reward_loss
from vidattn.errors import ArgumentError

GRIDS = [(9,), (5, 8), (4, 5, 7)]
CLOSE = {"atol": 1e-10, "rtol": 1e-10}


def linear(w, name, x):
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def relu(x):
    return np.maximum(x, 0)


def crop(x, location, side):
    """x (C, *positions) around a location, cell by cell; zeros beyond the border."""
    sizes = x.shape[1:]
    centre = [
        min(math.floor((where + 1) / 2 * size), size - 1)
        for where, size in zip(location, sizes, strict=True)
    ]
    patch = np.zeros((x.shape[0], *[side] * len(sizes)))
    read = np.zeros(sizes)
    for cell in product(range(side), repeat=len(sizes)):
        place = tuple(c - side // 2 + offset for c, offset in zip(centre, cell, strict=True))
        if all(0 <= one < size for one, size in zip(place, sizes, strict=True)):
            patch[(slice(None), *cell)] = x[(slice(None), *place)]
            read[place] += 1
    return patch, read


def shrink(patch, g):
    """(C, side, …) -> (C, g, …): means of blocks."""
    block = patch.shape[1] // g
    out = np.zeros((patch.shape[0], *[g] * (patch.ndim - 1)))
    for cell in product(range(g), repeat=patch.ndim - 1):
        where = tuple(slice(block * c, block * (c + 1)) for c in cell)
        out[(slice(None), *cell)] = patch[(slice(None), *where)].reshape(len(patch), -1).mean(1)
    return out


def by_loops(x, w, noise, *, g, scales, deviation):
    """One sample x (C, *positions), looked at step by step; noise (moves, axes)."""
    axes = x.ndim - 1
    location, hidden = np.zeros(axes), np.zeros(x.shape[0])
    read = np.zeros(x.shape[1:])
    places, chances, guesses = [location], [], []
    for step in range(len(noise) + 1):
        patches = []
        for scale in range(scales):
            patch, counted = crop(x, location, g * 2**scale)
            patches.append(shrink(patch, g).ravel())
            read += counted / 2 ** (scale * axes)
        what = relu(linear(w, "what", np.concatenate(patches)))
        where = relu(linear(w, "where", location))
        seen = relu(linear(w, "from_what", what) + linear(w, "from_where", where))
        hidden = relu(linear(w, "remember", hidden) + linear(w, "read", seen))
        if step == len(noise):
            break
        mean = np.tanh(linear(w, "move", relu(linear(w, "plan", hidden))))
        drawn = mean + deviation * noise[step]
        chances.append(
            sum(
                math.log(
                    math.exp(-((one - m) ** 2) / (2 * deviation**2))
                    / math.sqrt(2 * math.pi * deviation**2)
                )
                for one, m in zip(drawn, mean, strict=True)
            )
        )
        guesses.append(linear(w, "expect", hidden)[0])
        location = np.clip(drawn, -1, 1)
        places.append(location)
    return hidden, read / read.sum(), np.array(places), np.array(chances), np.array(guesses)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("training", [True, False])
def test_equals_loops(grid, training, randomise):
    settings = {"glimpses": 4, "glimpse_size": 3, "scales": 3, "deviation": 0.4}
    module = build("ram", 6, spatial_dims=len(grid), hidden_channels=7, **settings)
    module = randomise(module).double().train(training)
    w = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 6, *grid, dtype=torch.float64)
    noise = torch.randn(3, 3, len(grid), dtype=torch.float64) * 2
    with record_maps(module) as maps:
        ours = module.look(x, noise=noise)
    for n in range(3):
        drawn = noise[n].numpy() * training
        expected = by_loops(x[n].numpy(), w, drawn, g=3, scales=3, deviation=0.4)
        found = (ours.pooled.features, ours.pooled.weights, *ours[1:])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one[n].detach(), other, **CLOSE)
        np.testing.assert_allclose(maps[0].values[n].reshape(grid), expected[1], **CLOSE)
        scores = ours.pooled.scores[n].detach().numpy()
        there = expected[1] > 0
        np.testing.assert_allclose(scores[there], np.log(expected[1][there]), **CLOSE)
        assert (scores[~there] == np.log(np.finfo(np.float64).tiny)).all()
    assert ours.locations.abs().max() <= 1


def test_places_are_exact_under_autocast(randomise):
    module = randomise(build("ram", 6, spatial_dims=2, glimpses=4, hidden_channels=7)).eval()
    w = {name: value.detach().double().numpy() for name, value in module.state_dict().items()}
    x = torch.randn(1, 6, 5, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = module.look(x).locations[0]
    noise = np.zeros((3, 2))
    _, _, places, *_ = by_loops(x[0].double().numpy(), w, noise, g=3, scales=2, deviation=0.1)
    np.testing.assert_allclose(found, places, atol=1e-5)


def test_the_last_real_position_is_one_and_nothing_is_read_beyond_it(randomise):
    module = randomise(build("ram", 4, spatial_dims=2, hidden_channels=5)).double().eval()
    x = torch.randn(1, 4, 6, 8, dtype=torch.float64)
    mask = torch.zeros(1, 1, 6, 8, dtype=torch.bool)
    mask[..., :4, :5] = True
    padded, smaller = module.look(x, mask=mask), module.look(x[..., :4, :5])
    for ours, theirs in zip(padded[1:], smaller[1:], strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(padded.pooled.features, smaller.pooled.features)
    torch.testing.assert_close(padded.pooled.weights[..., :4, :5], smaller.pooled.weights)


def test_noise_is_drawn_in_training_only(randomise):
    module = randomise(build("ram", 4, spatial_dims=2, deviation=0.5)).double()
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    torch.manual_seed(0)
    once, again = module.look(x), module.look(x)
    assert not torch.equal(once.locations, again.locations)
    torch.manual_seed(0)
    given = torch.randn(2, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(module.look(x, noise=given).locations, once.locations)
    torch.testing.assert_close(module(x, noise=given).features, once.pooled.features)
    module.eval()
    torch.testing.assert_close(module.look(x).locations, module.look(x, noise=given).locations)


def test_reward_loss_is_the_formula():
    chances = torch.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
    guesses = torch.tensor([[0.2, 0.4], [0.9, 0.1]], requires_grad=True)
    loss = reward_loss(Glimpses(None, None, chances, guesses), torch.tensor([1, 0]))
    away = [[0.8, 0.6], [-0.9, -0.1]]
    policy = -((0.5 * 0.8 - 1.0 * 0.6) + (2.0 * -0.9 + 0.25 * -0.1)) / 2
    squares = (0.64 + 0.36 + 0.81 + 0.01) / 4
    torch.testing.assert_close(loss, torch.tensor(policy + squares))
    loss.backward()
    torch.testing.assert_close(chances.grad, -torch.tensor(away) / 2)
    torch.testing.assert_close(guesses.grad, -2 * torch.tensor(away) / 4)


def test_what_looks_and_where_learn_apart(randomise):
    """The classifier does not move the places, nor the reward the features."""
    module = randomise(build("ram", 4, spatial_dims=2, hidden_channels=5)).double()
    planners = {"plan", "move", "expect"}
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    looked = module.look(x)
    looked.pooled.features.sum().backward(retain_graph=True)
    found = {name.partition(".")[0] for name, p in module.named_parameters() if p.grad is not None}
    assert found == {"what", "where", "from_what", "from_where", "read", "remember"}
    module.zero_grad()
    reward_loss(looked, torch.ones(2)).backward()
    found = {name.partition(".")[0] for name, p in module.named_parameters() if p.grad is not None}
    assert found == planners


def test_it_learns_where_to_look(randomise):
    """The reward is for a last look at the right border: the policy goes there."""
    torch.manual_seed(0)
    module = build("ram", 4, spatial_dims=1, glimpses=2, hidden_channels=16, deviation=0.3)
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    x = torch.randn(1, 4, 9).expand(64, -1, -1)
    for _ in range(60):
        looked = module.look(x)
        loss = reward_loss(looked, (looked.locations[:, -1, 0] > 0.5).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert module.eval().look(x).locations[0, -1, 0] > 0.6


def test_mistakes_are_answered():
    with pytest.raises(ArgumentError, match="glimpses: expected at least 2, got 1"):
        build("ram", 4, glimpses=1)
    for size in (0, 2):
        with pytest.raises(ArgumentError, match="glimpse_size: expected an odd size"):
            build("ram", 4, glimpse_size=size)
