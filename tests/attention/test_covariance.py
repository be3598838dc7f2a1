from __future__ import annotations

import numpy as np
import torch

from vidattn.attention.covariance import covariance


def test_equals_numpy():
    x = torch.randn(3, 5, 11, dtype=torch.float64) + 3
    expected = np.stack([np.cov(one, bias=True) for one in x.numpy()])
    np.testing.assert_allclose(covariance(x, None).numpy(), expected, rtol=1e-10)


def test_what_is_not_kept_does_not_count():
    x = torch.randn(3, 5, 11, dtype=torch.float64) + 3
    kept = torch.rand(3, 1, 11) < 0.6
    other = x.masked_fill(~kept, float("inf"))
    expected = np.stack(
        [np.cov(one[:, keep[0]], bias=True) for one, keep in zip(x, kept, strict=True)]
    )
    np.testing.assert_allclose(covariance(other, kept).numpy(), expected, rtol=1e-10)


def test_half_precision_does_not_overflow():
    x = torch.full((1, 2, 4), 300.0, dtype=torch.float16)
    x[:, :, 0] = -300
    out = covariance(x, None)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, torch.full((1, 2, 2), 67500.0))
