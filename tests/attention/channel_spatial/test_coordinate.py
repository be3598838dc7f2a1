from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import (
    batch_norm,
    linear,
    others,
    sigmoid,
    weights_of,
)
from vidattn.attention import build


def reference(x, w, *, training):
    means = [x.mean(others(axis, x.ndim)) for axis in range(2, x.ndim)]
    hidden = batch_norm(
        linear(np.concatenate(means, axis=2), w, "squeeze"), w, "norm", training=training
    )
    hidden = hidden * np.clip(hidden + 3, 0, 6) / 6
    out, start = x, 0
    for index, size in enumerate(x.shape[2:]):
        part = hidden[:, :, start : start + size]
        start += size
        gate = sigmoid(linear(part, w, f"excite.{index}"))
        shape = [size if axis == index else 1 for axis in range(x.ndim - 2)]
        out = out * gate.reshape(*gate.shape[:2], *shape)
    return out


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8), (1, 4, 6)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = randomise(build("coordinate", 12, spatial_dims=len(grid), min_hidden=4)).double()
    weights = weights_of(module)
    x = torch.randn(3, 12, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach().numpy()
    expected = reference(x.numpy(), weights, training=training)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


@pytest.mark.oracle
@pytest.mark.parametrize("training", [True, False])
def test_equals_timm_per_frame(training, randomise):
    timm = pytest.importorskip("timm.layers.coord_attn")
    module = randomise(build("coordinate", 16, scope="frame")).double().train(training)
    ours = module.module
    theirs = timm.CoordAttn(16, rd_channels=8, bias=True).double().train(training)
    with torch.no_grad():
        for one, other in (
            (ours.squeeze, theirs.conv1),
            (ours.excite[0], theirs.conv_h),
            (ours.excite[1], theirs.conv_w),
        ):
            other.weight.copy_(one.weight.unsqueeze(3))
            other.bias.copy_(one.bias)
        theirs.bn1.load_state_dict(ours.norm.state_dict())
    x = torch.randn(2, 16, 3, 9, 8, dtype=torch.float64)
    frames = x.transpose(1, 2).flatten(0, 1)
    expected = theirs(frames).unflatten(0, (2, 3)).transpose(1, 2)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


def test_hidden_channels_follow_the_reduction():
    assert build("coordinate", 64).squeeze.out_channels == 8
    assert build("coordinate", 512).squeeze.out_channels == 16
    assert build("coordinate", 64, reduction=4).squeeze.out_channels == 16


def test_weights_tell_rows_and_columns_apart(randomise):
    module = randomise(build("coordinate", 4, spatial_dims=2)).double().eval()
    x = torch.rand(1, 4, 3, 5, dtype=torch.float64) + 0.5
    gate = module(x) / x
    # A product of one number per row and one per column has rank one.
    assert torch.linalg.matrix_rank(gate[0, 0]) == 1
    assert gate[0, 0].std(0).max() > 1e-4
    assert gate[0, 0].std(1).max() > 1e-4
