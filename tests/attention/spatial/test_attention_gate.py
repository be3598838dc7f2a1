from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import PerFrame, build


def resize(x: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation of the last axes, pixel centres at half-integers, edges held."""
    for axis, size in enumerate(grid, start=x.ndim - len(grid)):
        old = x.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        part = (at - low).reshape(-1, *[1] * (x.ndim - axis - 1))
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def reference(x, g, w, stride):
    grid = x.shape[2:]
    blocks = tuple(size // step for size, step in zip(grid, stride, strict=True))
    cut = x[(..., *(slice(b * s) for b, s in zip(blocks, stride, strict=True)))]
    shape = [n for b, s in zip(blocks, stride, strict=True) for n in (b, s)]
    cut = cut.reshape(*x.shape[:2], *shape)
    axes = {1: "tp", 2: "hpwq", 3: "tphqwr"}[len(grid)]
    kernel, out = axes[1::2], axes[0::2]
    theta = np.einsum(f"nc{axes},oc{kernel}->no{out}", cut, w["x_map.weight"])
    one = (..., *(0,) * len(grid))
    lifted = (slice(None), *(None,) * len(grid))
    phi = np.einsum("nc...,oc->no...", g, w["context_map.weight"][one])
    phi = phi + w["context_map.bias"][lifted]
    hidden = np.maximum(theta + resize(phi, blocks), 0)
    score = np.einsum("no...,o->n...", hidden, w["score.weight"][one][0]) + w["score.bias"]
    return x * resize(1 / (1 + np.exp(-score)), grid)[:, None]


@pytest.mark.parametrize(
    ("grid", "coarse", "stride"),
    [
        ((8,), (4,), (1,)),
        ((7, 10), (4, 5), (2, 2)),
        ((4, 7, 10), (2, 3, 5), (1, 2, 2)),
        ((3, 6, 6), (3, 6, 6), (1, 3, 3)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, coarse, stride, training, randomise):
    module = build(
        "attention_gate",
        8,
        spatial_dims=len(grid),
        context_channels=12,
        hidden_channels=5,
        stride=stride[-1] if len(grid) > 1 else 2,
    )
    randomise(module).double().train(training)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    g = torch.randn(2, 12, *coarse, dtype=torch.float64)
    expected = reference(x.numpy(), g.numpy(), weights, stride)
    out = module(x, context=g).detach().numpy()
    np.testing.assert_allclose(out, expected, atol=1e-12, rtol=1e-12)


def test_per_frame_folds_the_context(randomise):
    module = randomise(build("attention_gate", 8, scope="frame")).double()
    assert isinstance(module, PerFrame)
    x = torch.randn(2, 8, 3, 6, 8, dtype=torch.float64)
    g = torch.randn(2, 8, 3, 3, 4, dtype=torch.float64)
    frames = [module.module(x[:, :, t], context=g[:, :, t]) for t in range(3)]
    torch.testing.assert_close(module(x, context=g), torch.stack(frames, dim=2))


def test_without_context_it_says_what_it_needs():
    with pytest.raises(ValueError, match="expected context, a gating signal"):
        build("attention_gate", 8)(torch.zeros(1, 8, 2, 4, 4))


def test_half_the_channels_are_compared():
    assert build("attention_gate", 8).score.in_channels == 4
    assert build("attention_gate", 1).score.in_channels == 1
