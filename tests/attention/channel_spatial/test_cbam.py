from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from vidattn.attention import build


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def reference(x: np.ndarray, w: dict[str, np.ndarray], *, training: bool) -> np.ndarray:
    positions = tuple(range(2, x.ndim))

    def network(v):
        hidden = np.maximum(v @ w["squeeze.weight"].T + w["squeeze.bias"], 0)
        return hidden @ w["excite.weight"].T + w["excite.bias"]

    channel = sigmoid(network(x.mean(positions)) + network(x.max(positions)))
    x = x * channel.reshape(*channel.shape, *[1] * len(positions))
    seen = np.stack([x.max(1), x.mean(1)], axis=1)
    kernel = w["convolution.weight"][0]
    score = np.stack(
        [sum(correlate(s[i], kernel[i], mode="constant") for i in range(2)) for s in seen]
    )
    mean, var = (
        (score.mean(), score.var()) if training else (w["norm.running_mean"], w["norm.running_var"])
    )
    score = (score - mean) / np.sqrt(var + 1e-5) * w["norm.weight"] + w["norm.bias"]
    return x * sigmoid(score)[:, None]


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = randomise(build("cbam", 16, spatial_dims=len(grid), reduction=4)).double()
    weights = {name: value.clone().numpy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 16, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach().numpy()
    expected = reference(x.numpy(), weights, training=training)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-11)


def test_statistics_move_by_a_hundredth():
    module = build("cbam", 8, reduction=2).double().train()
    x = torch.randn(2, 8, 4, 5, 6, dtype=torch.float64)
    means, maxima = (
        module.excite(module.squeeze(one).relu()) for one in (x.mean((2, 3, 4)), x.amax((2, 3, 4)))
    )
    weighted = x * (means + maxima).sigmoid()[..., None, None, None]
    seen = torch.stack([weighted.amax(1), weighted.mean(1)], dim=1)
    convolved = module.convolution(seen).detach()
    module(x)
    torch.testing.assert_close(module.norm.running_mean[0], 0.01 * convolved.mean())
    torch.testing.assert_close(module.norm.running_var[0], 0.99 + 0.01 * convolved.var())


def test_equals_timm_per_frame(randomise):
    cbam = pytest.importorskip("timm.layers.cbam")
    module = randomise(build("cbam", 16, scope="frame", reduction=4)).double().eval()
    ours = module.module
    theirs = cbam.CbamModule(16, rd_channels=4, mlp_bias=True).double().eval()
    with torch.no_grad():
        for one, other in (
            (ours.squeeze, theirs.channel.fc1),
            (ours.excite, theirs.channel.fc2),
        ):
            other.weight.copy_(one.weight[:, :, None, None])
            other.bias.copy_(one.bias)
        # timm puts the mean before the maximum.
        theirs.spatial.conv.conv.weight.copy_(ours.convolution.weight.flip(1))
        theirs.spatial.conv.bn.load_state_dict(ours.norm.state_dict())
    x = torch.randn(2, 16, 3, 9, 8, dtype=torch.float64)
    expected = torch.stack([theirs(x[:, :, t]) for t in range(3)], dim=2)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


def test_flat_kernel_sees_no_other_frame(randomise):
    module = randomise(build("cbam", 16, spatial_kernel=(1, 7, 7))).double().eval()
    assert module.convolution.weight.shape == (1, 2, 1, 7, 7)


@pytest.mark.parametrize("size", [4, (3, 3), (1, 7, 6)])
def test_wrong_kernel_is_refused(size):
    with pytest.raises(ValueError, match="spatial_kernel: expected 3 odd sizes or one"):
        build("cbam", 16, spatial_kernel=size)
