from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def normalise(x: np.ndarray, norm, *, training: bool) -> np.ndarray:
    """x (N, channels, L)."""
    state = {name: value.numpy() for name, value in norm.state_dict().items()}
    centre = x.mean((0, 2)) if training else state["running_mean"]
    spread = x.var((0, 2)) if training else state["running_var"]
    centred = (x - centre[:, None]) / np.sqrt(spread[:, None] + 1e-5)
    return centred * state["weight"][:, None] + state["bias"][:, None]


def reference(x: np.ndarray, module, *, training: bool) -> tuple[np.ndarray, np.ndarray]:
    """The output and e."""
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    flat = x.reshape(*x.shape[:2], -1)
    z = np.einsum("dc,ncl->ndl", state["project.weight"], flat)
    z = np.maximum(normalise(z, module.norm, training=training), 0)
    words, smoothing = state["codewords"], state["smoothing"]
    encoded = np.zeros((len(x), *words.shape))
    for n in range(len(x)):
        for i in range(z.shape[2]):
            away = z[n, :, i] - words  # (K, C)
            power = smoothing * (away**2).sum(1)
            share = np.exp(power - power.max())
            encoded[n] += (share / share.sum())[:, None] * away
    e = np.maximum(normalise(encoded, module.word_norm, training=training), 0).mean(1)
    score = e @ state["excite.weight"].T + state["excite.bias"]
    weights = (1 / (1 + np.exp(-score))).reshape(*score.shape, *[1] * (x.ndim - 2))
    return np.maximum(x + x * weights, 0), e


@pytest.mark.parametrize("grid", [(9,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise):
    module = build("encnet", 8, spatial_dims=len(grid), codewords=5)
    randomise(module).double().train(training)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected, e = reference(x.numpy(), module, training=training)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    if not training:
        np.testing.assert_allclose(module.encode(x).detach().numpy(), e, rtol=1e-10, atol=1e-12)


def test_map_is_between_one_and_two_or_zero_where_x_is_negative(randomise):
    module = randomise(build("encnet", 8)).double().eval()
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    with record_maps(module) as maps:
        module(x)
    values = maps[0].values
    assert (values[x <= 0] == 0).all()
    assert ((values[x > 0] > 1) & (values[x > 0] < 2)).all()


def test_new_words_and_smoothing_are_drawn_as_in_the_paper():
    module = build("encnet", 64)
    bound = (32 * 64) ** -0.5
    assert module.codewords.abs().max() <= bound
    assert module.codewords.abs().max() > 0.9 * bound
    assert ((module.smoothing >= -1) & (module.smoothing <= 0)).all()


def test_what_is_encoded_is_no_padding(randomise):
    module = randomise(build("encnet", 8, spatial_dims=1)).double().eval()
    x = torch.randn(2, 8, 6, dtype=torch.float64)
    mask = torch.tensor([1, 0, 1, 1, 0, 1]).bool().reshape(1, 1, 6)
    found = module.encode(x.masked_fill(~mask, torch.nan), mask)
    torch.testing.assert_close(found, module.encode(x[:, :, mask[0, 0]]))
