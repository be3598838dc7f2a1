from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention.covariance import RowConvolution, covariance


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


@pytest.mark.parametrize("training", [True, False])
def test_rows_have_weights_of_their_own(training, randomise):
    """Row r gives numbers 4 r to 4 r + 3, each a product with the row's normalised entries."""
    module = randomise(RowConvolution(5)).double().train(training)
    w = {name: value.clone().numpy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 5, 5, dtype=torch.float64)
    rows = x.numpy()
    mean = rows.mean((0, 2)) if training else w["norm.running_mean"]
    variance = rows.var((0, 2)) if training else w["norm.running_var"]
    out = module(x).detach().numpy()
    assert out.shape == (3, 20)
    for n in range(3):
        for row in range(5):
            normed = (rows[n, row] - mean[row]) / np.sqrt(variance[row] + 1e-5)
            normed = normed * w["norm.weight"][row] + w["norm.bias"][row]
            for number in range(4 * row, 4 * row + 4):
                expected = w["convolution.weight"][number, 0] @ normed
                expected += w["convolution.bias"][number]
                np.testing.assert_allclose(out[n, number], expected, atol=1e-10)


def test_matrices_come_in_the_precision_of_the_weights():
    assert (
        RowConvolution(3).eval()(torch.randn(2, 3, 3, dtype=torch.float64)).dtype == torch.float32
    )
