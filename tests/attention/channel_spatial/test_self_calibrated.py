from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import batch_norm, convolve, sigmoid, weights_of
from vidattn.attention import build, record_maps


def window_means(x, sizes, *, rest):
    counts = [-(-n // s) if rest else n // s for n, s in zip(x.shape[2:], sizes, strict=True)]
    out = np.empty((*x.shape[:2], *counts))
    for index in product(*map(range, counts)):
        window = tuple(slice(i * s, (i + 1) * s) for i, s in zip(index, sizes, strict=True))
        part = x[(..., *window)]
        out[(..., *index)] = part.mean(tuple(range(2, x.ndim)))
    return out


def stretch(x, grid, sizes):
    """With sizes each position gets its own window's number, without the nearest in proportion."""
    for axis, size in enumerate(grid):
        have = x.shape[axis + 2]
        places = [i // sizes[axis] if sizes else i * have // size for i in range(size)]
        x = np.take(x, places, axis=axis + 2)
    return x


def reference(x, w, sizes, *, training, compat=False):
    def block(x, name):
        return batch_norm(convolve(x, w, f"{name}.0"), w, f"{name}.1", training=training)

    half = x.shape[1] // 2
    first, second = x[:, :half], x[:, half:]
    coarse = block(window_means(first, sizes, rest=not compat), "coarse")
    weights = sigmoid(first + stretch(coarse, x.shape[2:], None if compat else sizes))
    calibrated = block(block(first, "fine") * weights, "calibrated")
    return np.concatenate([calibrated, block(second, "plain")], axis=1), weights


CASES = [
    ((8,), 4, False),
    ((9,), 4, True),
    ((8, 12), 4, True),
    ((7, 9), 4, False),
    ((7, 9), 4, True),
    ((1, 5, 6), (2, 4, 3), False),
    ((3, 5, 8), (2, 4, 4), False),
    ((3, 5, 8), (2, 4, 4), True),
]


@pytest.mark.parametrize(("grid", "pooling", "compat"), CASES)
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, pooling, compat, training, randomise):
    settings = {"pooling": pooling, "compat": compat}
    module = randomise(build("scnet", 8, spatial_dims=len(grid), **settings)).double()
    weights = weights_of(module)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    with record_maps(module.train(training)) as maps:
        out = module(x).detach().numpy()
    sizes = (pooling,) * len(grid) if isinstance(pooling, int) else pooling
    expected, gate = reference(x.numpy(), weights, sizes, training=training, compat=compat)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)
    np.testing.assert_allclose(maps[0].values.reshape(gate.shape), gate, rtol=1e-10)


def test_compat_differs_only_where_windows_do_not_fit(randomise):
    ours, theirs = (
        randomise(build("scnet", 8, spatial_dims=2, compat=compat)).double().eval()
        for compat in (False, True)
    )
    x = torch.randn(2, 8, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)
    assert not torch.allclose(ours(x[..., :11]), theirs(x[..., :11]))


def test_compat_refuses_an_axis_shorter_than_a_window():
    module = build("scnet", 8, spatial_dims=2, compat=True)
    with pytest.raises(ValueError, match=r"expected positions of at least \(4, 4\), got \(3, 8\)"):
        module(torch.zeros(1, 8, 3, 8))


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="channels: expected an even number, got 7"):
        build("scnet", 7)
    with pytest.raises(ValueError, match="pooling: expected 3 positive sizes or one, got 0"):
        build("scnet", 8, pooling=0)
