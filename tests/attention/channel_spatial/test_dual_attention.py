from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import (
    batch_norm,
    convolve,
    linear,
    relu,
    softmax,
    weights_of,
)
from vidattn.attention import build, record_maps


def reference(x, w, *, training):
    def block(x, name):
        return relu(batch_norm(convolve(x, w, f"{name}.0"), w, f"{name}.1", training=training))

    def position(x):
        flat = x.reshape(*x.shape[:2], -1)
        query, key, value = (linear(flat, w, f"position.{n}") for n in ("query", "key", "value"))
        affinity = softmax(np.einsum("nci,ncj->nij", query, key), axis=2)
        mixed = np.einsum("nij,ncj->nci", affinity, value)
        return x + w["position.strength"] * mixed.reshape(x.shape)

    def channel(x):
        flat = x.reshape(*x.shape[:2], -1)
        affinity = softmax(-np.einsum("ncl,ndl->ncd", flat, flat), axis=2)
        mixed = np.einsum("ncd,ndl->ncl", affinity, flat)
        return x + w["channel.strength"] * mixed.reshape(x.shape)

    return block(position(block(x, "before_position")), "after_position") + block(
        channel(block(x, "before_channel")), "after_channel"
    )


@pytest.mark.parametrize("grid", [(9,), (5, 6), (3, 4, 5)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("out_channels", [None, 5])
def test_equals_formula(grid, training, out_channels, randomise):
    module = build("danet", 12, spatial_dims=len(grid), out_channels=out_channels)
    module = randomise(module).double()
    weights = weights_of(module)
    x = torch.randn(2, 12, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach().numpy()
    expected = reference(x.numpy(), weights, training=training)
    assert out.shape == (2, out_channels or 12, *grid)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


def test_both_parts_show_their_maps():
    module = build("danet", 16, spatial_dims=2)
    with record_maps(module) as maps:
        module(torch.randn(2, 16, 5, 6))
    assert maps.named("position").values.shape == (2, 1, 1, 5, 6)
    assert maps.named("channel").values.shape == (2, 4, 1, 1, 1)
