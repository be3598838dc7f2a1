from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention.masking import masked_max, masked_mean, masked_softmax, zero_padding


@pytest.fixture
def x():
    return torch.randn(3, 4, 5, 2, 3, dtype=torch.float64)


@pytest.fixture
def mask():
    mask = torch.rand(3, 1, 5, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[2] = False
    return mask


def test_mean_and_max_are_over_real_positions(x, mask):
    for function, expected in ((masked_mean, torch.mean), (masked_max, torch.amax)):
        out = function(x.masked_fill(~mask, torch.inf), mask)
        for n in range(2):
            real = x[n][:, mask[n, 0]]
            torch.testing.assert_close(out[n], expected(real, 1))
        assert (out[2] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1, 5, 1, 1), (3, 1, 5, 1, 1), (3, 1, 1, 2, 3)])
def test_masks_are_broadcast(x, shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.7
    mask[:, :, 0, 0, 0] = True
    whole = mask.expand(3, 1, 5, 2, 3).contiguous()
    for function in (masked_mean, masked_max):
        torch.testing.assert_close(function(x, mask), function(x, whole))


def test_half_precision_sums_do_not_overflow():
    x = torch.full((1, 1, 64, 64), 60000.0, dtype=torch.float16)
    assert masked_mean(x, torch.ones(1, 1, 1, 1, dtype=torch.bool)).item() == 60000


def test_softmax_is_over_real_entries(x, mask):
    scores, kept = x[:, 0].flatten(1), mask.flatten(1)
    out = masked_softmax(scores, kept, dim=1)
    for n in range(2):
        torch.testing.assert_close(out[n, kept[n]], scores[n, kept[n]].softmax(0))
    assert (out[~kept] == 0).all()


def test_without_a_mask_all_is_real(x):
    values = x.numpy()
    np.testing.assert_allclose(masked_mean(x, None), values.mean((2, 3, 4)), atol=1e-12)
    np.testing.assert_allclose(masked_max(x, None), values.max((2, 3, 4)), atol=0)
    powers = np.exp(values)
    for dim in (1, 2):
        expected = powers / powers.sum(dim, keepdims=True)
        np.testing.assert_allclose(masked_softmax(x, None, dim=dim), expected, atol=1e-12)
    assert zero_padding(x, None) is x


def test_zero_padding_removes_infinities(x, mask):
    assert zero_padding(x.masked_fill(~mask, torch.nan), mask).isfinite().all()
