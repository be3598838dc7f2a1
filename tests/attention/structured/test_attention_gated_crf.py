from __future__ import annotations

import itertools

import pytest
import torch

from vidattn.attention import build, record_maps


def convolve(x, layer):
    """A sum over neighbours, x (C, *positions)."""
    grid = x.shape[1:]
    out = layer.bias.reshape(-1, *[1] * len(grid)).expand(-1, *grid).clone()
    for place in itertools.product(*map(range, grid)):
        for offset in itertools.product((-1, 0, 1), repeat=len(grid)):
            near = tuple(p + o for p, o in zip(place, offset, strict=True))
            if all(0 <= p < size for p, size in zip(near, grid, strict=True)):
                tap = layer.weight[(slice(None), slice(None), *(o + 1 for o in offset))]
                out[(slice(None), *place)] += tap @ x[(slice(None), *near)]
    return out


def reference(module, x, senders, mask, iterations):
    received = x * mask
    gates = []
    for iteration in range(iterations):
        for number, sender in enumerate(senders):
            sender = sender * mask
            pair = torch.cat([received, sender])
            gate = 1 / (1 + (-convolve(pair, module.gates[number])).exp()) * mask
            gates.append(gate)
            message = convolve(sender, module.messages[number])
            shape = (-1, *[1] * (x.ndim - 1))
            scale = module.scale[iteration, number].reshape(shape)
            shift = module.shift[iteration, number].reshape(shape)
            received = received + (scale * gate * message + shift) * mask
    return torch.where(mask, received, x), gates


@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, training, randomise):
    module = build("ag_crf", 4, spatial_dims=len(grid), context_channels=3, senders=2, iterations=2)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    senders = [torch.randn(2, 3, *grid, dtype=torch.float64) for _ in range(2)]
    mask = torch.rand(2, 1, *grid) < 0.7
    for given in (None, mask):
        with record_maps(module) as maps:
            out = module(x, mask=given, context=senders)
        assert len(maps) == 4
        for n in range(2):
            kept = torch.ones(1, *grid).bool() if given is None else mask[n]
            sent = [sender[n] for sender in senders]
            expected, gates = reference(module, x[n], sent, kept, 2)
            torch.testing.assert_close(out[n], expected, atol=1e-10, rtol=1e-10)
            for found, gate in zip(maps, gates, strict=True):
                values = found.values[n].reshape(gate.shape)
                torch.testing.assert_close(values, gate, atol=1e-10, rtol=1e-10)


def test_coarse_sender_is_brought_to_size(randomise):
    module = randomise(build("ag_crf", 4, spatial_dims=2)).double()
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    coarse = torch.randn(2, 4, 3, 4, dtype=torch.float64)
    fine = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(module(x, context=coarse), module(x, context=fine))


def test_without_scale_and_shift_nothing_changes():
    module = build("ag_crf", 4)
    torch.nn.init.zeros_(module.scale)
    x = torch.randn(2, 4, 2, 3, 3)
    assert torch.equal(module(x, context=torch.randn_like(x)), x)


def test_senders_are_counted():
    module = build("ag_crf", 4, senders=2)
    x = torch.zeros(1, 4, 2, 3, 3)
    with pytest.raises(ValueError, match=r"expected as context 2 senders, .* got 1"):
        module(x, context=x)
    with pytest.raises(ValueError, match=r"expected as context 2 senders, .* got 0"):
        module(x)
    with pytest.raises(ValueError, match="senders, iterations: expected at least 1, got 0, 5"):
        build("ag_crf", 4, senders=0)
