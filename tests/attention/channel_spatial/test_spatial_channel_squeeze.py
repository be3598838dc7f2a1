from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import linear, relu, sigmoid, weights_of
from vidattn.attention import build

FUSIONS = {
    "add": lambda channel, position: channel + position,
    "max": np.maximum,
    "multiply": lambda channel, position: channel * position,
}


def reference(x, w, fusion):
    means = x.mean(tuple(range(2, x.ndim)), keepdims=True)
    channel = sigmoid(linear(relu(linear(means, w, "squeeze")), w, "excite"))
    position = sigmoid(linear(x, w, "position"))
    return FUSIONS[fusion](x * channel, x * position)


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_equals_formula(grid, training, fusion, randomise):
    module = randomise(build("scse", 12, spatial_dims=len(grid), fusion=fusion)).double()
    x = torch.randn(3, 12, *grid, dtype=torch.float64)
    expected = reference(x.numpy(), weights_of(module), fusion)
    out = module.train(training)(x).detach().numpy()
    np.testing.assert_allclose(out, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.oracle
def test_equals_segmentation_models_per_frame(randomise):
    library = pytest.importorskip("segmentation_models_pytorch.base.modules")
    module = randomise(build("scse", 16, scope="frame", reduction=4)).double()
    theirs = library.SCSEModule(16, reduction=4).double()
    pairs = ((1, "squeeze"), (3, "excite"))
    layers = [(theirs.cSE[index], getattr(module.module, name)) for index, name in pairs]
    with torch.no_grad():
        for other, one in [*layers, (theirs.sSE[0], module.module.position)]:
            other.weight.copy_(one.weight[:, :, None, None])
            other.bias.copy_(one.bias)
    x = torch.randn(2, 16, 3, 9, 8, dtype=torch.float64)
    expected = torch.stack([theirs(x[:, :, t]) for t in range(3)], dim=2)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


def test_half_the_channels_are_hidden_as_in_the_paper():
    assert build("scse", 24).squeeze.out_features == 12


def test_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match="fusion: expected 'add', 'max' or 'multiply'"):
        build("scse", 16, fusion="concat")
