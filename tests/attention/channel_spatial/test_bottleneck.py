from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import (
    batch_norm,
    convolve,
    linear,
    relu,
    sigmoid,
    weights_of,
)
from vidattn.attention import build


def reference(x, w, *, training, dilation, compat):
    means = x.mean(tuple(range(2, x.ndim)))
    hidden = batch_norm(linear(means, w, "squeeze"), w, "squeeze_norm", training=training)
    channel = linear(relu(hidden), w, "excite").reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    seen = x
    for index in range(3):
        seen = convolve(seen, w, f"convolutions.{index}", dilation=1 if index == 0 else dilation)
        seen = relu(batch_norm(seen, w, f"norms.{index}", training=training))
    position = linear(seen, w, "position")
    evidence = channel * position if compat else channel + position
    return x * (1 + sigmoid(evidence))


@pytest.mark.parametrize("grid", [(13,), (9, 10), (4, 6, 11)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dilation", "compat"), [(4, False), (4, True), (2, False)])
def test_equals_formula(grid, training, dilation, compat, randomise):
    settings = {"reduction": 4, "dilation": dilation, "compat": compat}
    module = randomise(build("bam", 12, spatial_dims=len(grid), **settings)).double()
    weights = weights_of(module)
    x = torch.randn(3, 12, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach().numpy()
    expected = reference(x.numpy(), weights, training=training, dilation=dilation, compat=compat)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


@pytest.mark.parametrize("grid", [(7, 7), (8, 8), (5, 14)])
def test_map_is_as_large_as_the_input(grid, randomise):
    module = randomise(build("bam", 16, spatial_dims=2)).eval()
    assert module(torch.randn(2, 16, *grid)).shape == (2, 16, *grid)


def test_flat_dilation_reaches_as_far_as_it_says(randomise):
    module = randomise(build("bam", 16, dilation=(1, 2, 2))).double().eval()
    x = torch.randn(1, 16, 9, 9, 9, dtype=torch.float64, requires_grad=True)
    module.position(seen_by_position(module, x))[0, 0, 4, 4, 4].backward()
    reached = x.grad.abs().sum((0, 1)) > 0
    assert reached.any((1, 2)).tolist() == [False, False, *[True] * 5, False, False]
    assert reached.any((0, 1)).tolist() == [True, False] * 4 + [True]


def seen_by_position(module, x):
    for convolution in module.convolutions:  # the norms and ReLU reach no further
        x = convolution(x)
    return x


@pytest.mark.parametrize("dilation", [0, (4, 4)])
def test_wrong_dilation_is_refused(dilation):
    with pytest.raises(ValueError, match="dilation: expected 3 positive numbers or one"):
        build("bam", 16, dilation=dilation)


def test_padding_is_zero_for_every_convolution_and_counts_in_no_mean(randomise):
    """One real position, and nothing else that any layer could see: a clip of one position."""
    module = randomise(build("bottleneck", 16, spatial_dims=2, reduction=4, dilation=1)).double()
    module.eval()
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    mask = torch.zeros(1, 1, 5, 6, dtype=torch.bool)
    mask[..., 2, 3] = True
    out = module(x, mask=mask)
    alone = module(x[..., 2:3, 3:4])
    torch.testing.assert_close(out[..., 2:3, 3:4], alone, atol=1e-12, rtol=1e-12)
    assert (out.masked_fill(mask, 0) == 0).all()
