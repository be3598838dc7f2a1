from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build


def reference(x: np.ndarray, kernel: np.ndarray, *, circular: bool = False) -> np.ndarray:
    means = x.mean(axis=tuple(range(2, x.ndim)))
    half = len(kernel) // 2
    beyond = "wrap" if circular else "constant"
    padded = np.pad(means, ((0, 0), (half, half)), mode=beyond)
    score = sum(kernel[j] * padded[:, j : j + x.shape[1]] for j in range(len(kernel)))
    weights = 1 / (1 + np.exp(-score))
    return x * weights.reshape(*weights.shape, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 7)])
@pytest.mark.parametrize("kernel_size", [None, 1, 5])
@pytest.mark.parametrize("circular", [False, True])
def test_equals_formula(grid, kernel_size, circular, randomise):
    module = build("eca", 64, spatial_dims=len(grid), kernel_size=kernel_size, circular=circular)
    randomise(module).double()
    x = torch.randn(3, 64, *grid, dtype=torch.float64)
    kernel = module.convolution.weight.detach().numpy().ravel()
    np.testing.assert_allclose(
        module(x).detach().numpy(),
        reference(x.numpy(), kernel, circular=circular),
        atol=1e-12,
        rtol=1e-12,
    )


@pytest.mark.oracle
@pytest.mark.parametrize("circular", [False, True])
def test_equals_timm_per_frame(circular, randomise):
    timm = pytest.importorskip("timm.layers")
    module = randomise(build("eca", 256, scope="frame", circular=circular)).double()
    theirs = (timm.CecaModule if circular else timm.EcaModule)(256).double()
    theirs.conv.weight.data.copy_(module.module.convolution.weight.data)
    x = torch.randn(2, 256, 3, 5, 4, dtype=torch.float64)
    expected = torch.stack([theirs(x[:, :, t]) for t in range(3)], dim=2)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    ("channels", "size"),
    [(8, 3), (16, 3), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)],
)
def test_kernel_size_follows_equation_12(channels, size):
    # |(log2 C + 1) / 2| by hand: 2, 2.5, 3, 3.5, 4, 4.5, 5, 6; evens go up.
    assert build("eca", channels).convolution.kernel_size == (size,)


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size: expected an odd number, got 4"):
        build("eca", 64, kernel_size=4)
