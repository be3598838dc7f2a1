from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def batch_norm(x, w, *, training):
    """(N, C, L), over samples and positions."""
    mean, variance = w["norm.running_mean"], w["norm.running_var"]
    if training:
        mean, variance = x.mean((0, 2)), x.var((0, 2))
    x = (x - mean[:, None]) / np.sqrt(variance + 1e-5)[:, None]
    return x * w["norm.weight"][:, None] + w["norm.bias"][:, None]


def reference(x, w, *, training):
    """The authors' order: 1×1 convolution, memory, two normalisations, memory, convolution, BN."""
    flat = x.reshape(*x.shape[:2], -1)
    read, shares = np.empty_like(flat), []
    for n, sample in enumerate(flat):
        f = w["input.weight"] @ sample + w["input.bias"][:, None]
        a = np.exp(w["key_memory.weight"] @ f)
        for slot in a:
            slot /= slot.sum()
        for position in a.T:
            position /= 1e-9 + position.sum()
        value = w.get("value_memory.weight", w["key_memory.weight"].T)
        read[n] = w["output.weight"] @ (value @ a)
        shares.append(a)
    return x + batch_norm(read, w, training=training).reshape(x.shape), np.stack(shares)


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, tied, training, randomise):
    module = build("external_attention", 8, spatial_dims=len(grid), slots=5, tied=tied)
    randomise(module).double().train(training)
    weights = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected, shares = reference(x.numpy(), weights, training=training)
    with record_maps(module) as maps:
        out = module(x)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-12, rtol=1e-12)
    np.testing.assert_allclose(maps[0].values.reshape(3, 5, -1), shares, atol=1e-12)


def test_memories_share_storage_only_when_tied():
    free = build("external_attention", 8)
    pointers = {parameter.data_ptr() for parameter in free.parameters()}
    assert len(pointers) == len(list(free.parameters())) == 7
    assert len(list(build("external_attention", 8, tied=True).parameters())) == 6


def test_tied_memory_learns_from_both_uses(randomise):
    module = randomise(build("external_attention", 4, tied=True, slots=3)).double()
    x = torch.randn(2, 4, 2, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *_: module(x), tuple(module.parameters()))
