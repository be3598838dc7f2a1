from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attention.channel_spatial.formulas import others, sigmoid, weights_of
from vidattn.attention import build


def reference(x, w, groups):
    out = x
    for index in range(x.ndim - 2):
        rest = others(index + 2, x.ndim)
        mean, kernel = x.mean(rest), w[f"convolutions.{index}.weight"][:, 0]
        strip = np.empty_like(mean)
        for n, c in np.ndindex(*mean.shape[:2]):
            # NumPy's convolution turns the kernel round.
            reach = kernel.shape[1] // 2
            padded = np.pad(mean[n, c], reach)
            strip[n, c] = np.convolve(padded, kernel[c, ::-1], mode="valid")
        grouped = strip.reshape(len(x), groups, -1)
        centred = grouped - grouped.mean(2, keepdims=True)
        normed = centred / np.sqrt(grouped.var(2, keepdims=True) + 1e-5)
        normed = normed.reshape(strip.shape) * w[f"norms.{index}.weight"][:, None]
        gate = sigmoid(normed + w[f"norms.{index}.bias"][:, None])
        out = out * np.expand_dims(gate, rest)
    return out


@pytest.mark.parametrize("grid", [(9,), (5, 8), (3, 5, 8), (1, 4, 6)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kernel_size", "groups"), [(7, 4), (5, 2)])
def test_equals_formula(grid, training, kernel_size, groups, randomise):
    settings = {"kernel_size": kernel_size, "groups": groups}
    module = randomise(build("ela", 8, spatial_dims=len(grid), **settings)).double()
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    out = module.train(training)(x).detach()
    expected = reference(x.numpy(), weights_of(module), groups)
    np.testing.assert_allclose(out, expected, atol=1e-11, rtol=1e-10)


@pytest.mark.oracle
def test_equals_timm_per_frame(randomise):
    timm = pytest.importorskip("timm.layers.coord_attn")
    module = randomise(build("ela", 16, scope="frame", groups=1)).double()
    # timm adds a SiLU behind the normalisation, which the paper has not.
    theirs = timm.EfficientLocalAttn(16, act_layer=torch.nn.Identity).double()
    with torch.no_grad():
        for index, axis in enumerate("hw"):
            convolution = getattr(theirs, f"conv_{axis}")
            ours = module.module.convolutions[index].weight
            convolution.weight.copy_(ours.reshape(convolution.weight.shape))
            norm = module.module.norms[index].state_dict()
            getattr(theirs, f"norm_{axis}").load_state_dict(norm)
    x = torch.randn(2, 16, 3, 9, 8, dtype=torch.float64)
    frames = x.transpose(1, 2).flatten(0, 1)
    expected = theirs(frames).unflatten(0, (2, 3)).transpose(1, 2)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)


def test_groups_that_do_not_divide_are_refused():
    assert build("ela", 64).norms[0].num_groups == 16
    assert build("ela", 24).norms[0].num_groups == 8
    with pytest.raises(ValueError, match="groups: expected a divisor of 24, got 16"):
        build("ela", 24, groups=16)
