from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build

EPSILON = 1e-5


def reference(x: np.ndarray, module, *, training: bool) -> np.ndarray:
    weight = module.style_weight.detach().numpy()
    norm = {name: value.detach().numpy() for name, value in module.norm.state_dict().items()}
    batch, channels = x.shape[:2]
    score = np.empty((batch, channels))
    for n in range(batch):
        for c in range(channels):
            values = x[n, c].ravel()
            mean = values.sum() / len(values)
            variance = ((values - mean) ** 2).sum() / (len(values) - 1)
            score[n, c] = weight[c, 0] * mean + weight[c, 1] * np.sqrt(variance + EPSILON)
    centre = score.mean(0) if training else norm["running_mean"]
    spread = ((score - score.mean(0)) ** 2).mean(0) if training else norm["running_var"]
    score = (score - centre) / np.sqrt(spread + 1e-5) * norm["weight"] + norm["bias"]
    weights = 1 / (1 + np.exp(-score))
    return x * weights.reshape(batch, channels, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("grid", [(6,), (5, 7), (2, 2, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = randomise(build("srm", 10, spatial_dims=len(grid))).double().train(training)
    x = torch.randn(4, 10, *grid, dtype=torch.float64) + 2
    expected = reference(x.numpy(), module, training=training)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_a_new_one_gives_all_channels_the_same_weight():
    x = torch.randn(4, 10, 2, 5, 3)
    torch.testing.assert_close(build("srm", 10)(x), x / 2)


def test_frames_are_samples_of_the_batch_normalisation(randomise):
    frame = randomise(build("srm", 10, scope="frame")).double().train()
    x = torch.randn(1, 10, 4, 5, 3, dtype=torch.float64)
    images = x[0].transpose(0, 1)
    expected = reference(images.numpy(), frame.module, training=True)
    np.testing.assert_allclose(
        frame(x)[0].transpose(0, 1).detach().numpy(), expected, rtol=1e-10, atol=1e-12
    )


def test_one_sample_cannot_be_trained_on(randomise):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        build("srm", 10).train()(torch.randn(1, 10, 2, 5, 3))


def test_one_position_has_no_spread(randomise):
    module = randomise(build("srm", 10, spatial_dims=1)).double().eval()
    x = torch.randn(2, 10, 1, dtype=torch.float64)
    style = x[..., 0] * module.style_weight[:, 0] + EPSILON**0.5 * module.style_weight[:, 1]
    torch.testing.assert_close(module(x)[..., 0], x[..., 0] * module.norm(style).sigmoid())
