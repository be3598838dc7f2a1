from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from vidattn.attention.expert_convolution import ExpertConvolution
from vidattn.errors import ArgumentError

CASES = [
    ((7,), (3,), (2,), 1),
    ((5, 6), (3, 1), (1, 2), 2),
    ((3, 4, 5), (1, 3, 5), (2, 1, 2), 1),
]


def make(rank_kernel, stride, groups, *, experts=3, bias=True, channels=4, out_channels=6):
    return ExpertConvolution(
        channels,
        out_channels=out_channels,
        experts=experts,
        kernel_size=rank_kernel,
        stride=stride,
        groups=groups,
        bias=bias,
    ).double()


def correlate(x: np.ndarray, kernel: np.ndarray, stride, groups: int) -> np.ndarray:
    """x (C, *positions), kernel (C', C / groups, *sizes): zeros beyond the border, by loops."""
    sizes = kernel.shape[2:]
    padded = np.pad(x, [(0, 0), *((size // 2, size // 2) for size in sizes)])
    grid = [-(-extent // step) for extent, step in zip(x.shape[1:], stride, strict=True)]
    out = np.zeros((kernel.shape[0], *grid))
    inside, outside = x.shape[0] // groups, kernel.shape[0] // groups
    for channel in range(kernel.shape[0]):
        first = channel // outside * inside
        for place in product(*(range(size) for size in grid)):
            window = tuple(
                slice(where * step, where * step + size)
                for where, step, size in zip(place, stride, sizes, strict=True)
            )
            seen = padded[(slice(first, first + inside), *window)]
            out[(channel, *place)] = (seen * kernel[channel]).sum()
    return out


@pytest.mark.parametrize(("grid", "kernel", "stride", "groups"), CASES)
@pytest.mark.parametrize("bias", [True, False])
def test_equals_each_samples_kernel_by_loops(grid, kernel, stride, groups, bias):
    module = make(kernel, stride, groups, bias=bias)
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    shares = torch.randn(2, 3, dtype=torch.float64)
    ours = module(x, shares).detach().numpy()
    weight = module.weight.detach().numpy()
    for sample in range(2):
        mixed = sum(shares[sample, e].item() * weight[e] for e in range(3))
        expected = correlate(x[sample].numpy(), mixed, stride, groups)
        if bias:
            offset = sum(
                shares[sample, e].item() * module.bias[e].detach().numpy() for e in range(3)
            )
            expected = expected + offset.reshape(-1, *[1] * len(grid))
        np.testing.assert_allclose(ours[sample], expected, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
def test_experts_start_as_an_ordinary_convolution_does(groups):
    """Uniform in ± 1 / √(inputs of one output)."""
    module = make((3, 5), (1, 1), groups, experts=50, channels=8, out_channels=16)
    bound = (8 // groups * 15) ** -0.5
    for values in (module.weight, module.bias):
        assert values.abs().max() <= bound
        assert values.abs().max() > 0.98 * bound
        assert abs(values.std() / (bound / 3**0.5) - 1) < 0.05


def test_mistakes_are_answered():
    with pytest.raises(ArgumentError, match="experts: expected at least 1, got 0"):
        make((3,), (1,), 1, experts=0)
    make((3,), (1,), 1, experts=1)
    for groups in (3, 4):
        with pytest.raises(ArgumentError, match="groups: expected a divisor of 4 and 6 channels"):
            make((3,), (1,), groups)
