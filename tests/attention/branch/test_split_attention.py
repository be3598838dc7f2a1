from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def normalise(x: np.ndarray, norm, *, training: bool) -> np.ndarray:
    state = {name: value.numpy() for name, value in norm.state_dict().items()}
    others = (0, *range(2, x.ndim))
    centre = x.mean(others) if training else state["running_mean"]
    spread = x.var(others) if training else state["running_var"]
    shape = (1, -1, *[1] * (x.ndim - 2))
    centred = (x - centre.reshape(shape)) / np.sqrt(spread.reshape(shape) + 1e-5)
    return centred * state["weight"].reshape(shape) + state["bias"].reshape(shape)


def grouped(x: np.ndarray, layer, groups: int) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy()[:, :, 0], layer.bias.detach().numpy()
    rows, columns = weight.shape[0] // groups, weight.shape[1]
    out = [
        x[:, g * columns : (g + 1) * columns] @ weight[g * rows : (g + 1) * rows].T
        for g in range(groups)
    ]
    return np.concatenate(out, axis=1) + bias


def reference(x: torch.Tensor, module, *, stride: int, groups: int, branches: int, training: bool):
    """The output, and the weights (N, branches, C'), one cardinal group after another."""
    u = CONVOLVE[x.ndim - 2](
        x, module.convolution.weight.detach(), stride=stride, padding=1, groups=groups * branches
    ).numpy()
    u = np.maximum(normalise(u, module.norm, training=training), 0)
    channels = u.shape[1] // branches
    splits = [u[:, r * channels : (r + 1) * channels] for r in range(branches)]
    means = sum(splits).reshape(len(x), channels, -1).mean(2)
    hidden = grouped(means, module.reduce, groups)
    hidden = np.maximum(normalise(hidden, module.reduced_norm, training=training), 0)
    logits = grouped(hidden, module.select, groups)
    weights = np.empty((len(x), branches, channels))
    for c in range(channels):
        group, within = divmod(c, channels // groups)
        for n in range(len(x)):
            score = [
                logits[n, (group * branches + r) * (channels // groups) + within]
                for r in range(branches)
            ]
            if branches == 1:
                weights[n, 0, c] = 1 / (1 + np.exp(-score[0]))
            else:
                weights[n, :, c] = np.exp(score) / np.exp(score).sum()
    spread = weights.reshape(*weights.shape, *[1] * (x.ndim - 2))
    return sum(spread[:, r] * splits[r] for r in range(branches)), weights


@pytest.mark.parametrize("grid", [(7,), (5, 6), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("stride", "groups", "branches", "outputs"), [(1, 1, 2, 8), (2, 2, 3, 8), (1, 2, 1, 4)]
)
def test_equals_formula(grid, training, stride, groups, branches, outputs, randomise):
    module = build(
        "split",
        12,
        spatial_dims=len(grid),
        out_channels=outputs,
        stride=stride,
        groups=groups,
        branches=branches,
        minimum_width=6,
    )
    randomise(module).double().train(training)
    x = torch.randn(3, 12, *grid, dtype=torch.float64)
    expected, weights = reference(
        x, module, stride=stride, groups=groups, branches=branches, training=training
    )
    with record_maps(module) as maps:
        out = module(x)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(maps[0].values.flatten(1).numpy(), weights.mean(2), rtol=1e-10)


@pytest.mark.oracle
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("groups", "branches"), [(1, 2), (2, 2), (1, 1)])
def test_equals_timm(training, groups, branches, randomise):
    timm = pytest.importorskip("timm.layers")
    module = build("split", 16, spatial_dims=2, stride=2, groups=groups, branches=branches)
    randomise(module).double().train(training)
    theirs = timm.SplitAttn(
        16, stride=2, groups=groups, radix=branches, norm_layer=torch.nn.BatchNorm2d
    )
    theirs.double().train(training)
    pairs = {
        "conv": module.convolution,
        "bn0": module.norm,
        "fc1": module.reduce,
        "bn1": module.reduced_norm,
        "fc2": module.select,
    }
    state = {
        f"{name}.{key}": value.unsqueeze(3) if value.ndim == 3 else value
        for name, layer in pairs.items()
        for key, value in layer.state_dict().items()
    }
    theirs.load_state_dict(state)
    x = torch.randn(3, 16, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(module(x), theirs(x), atol=1e-11, rtol=1e-10)


@pytest.mark.parametrize(
    ("channels", "settings", "width"),
    [
        (64, {}, 32),
        (128, {}, 64),
        (128, {"branches": 4}, 128),
        (128, {"branches": 1}, 32),
        (128, {"reduction": 2}, 128),
        (64, {"minimum_width": 8}, 32),
        (64, {"minimum_width": 40}, 40),
        (128, {"out_channels": 64}, 64),
        (64, {"groups": 2, "minimum_width": 33}, 34),
    ],
)
def test_hidden_width_is_that_of_the_authors_code(channels, settings, width):
    """max(C · radix / reduction, 32) of the input's channels, a multiple of the groups."""
    module = build("split", channels, spatial_dims=1, **settings)
    assert module.reduce.out_channels == width
    assert module.reduced_norm.num_features == width
    out_channels = settings.get("out_channels", channels)
    assert module.reduce.in_channels == out_channels
    assert module.select.out_channels == out_channels * settings.get("branches", 2)


def test_there_must_be_a_branch():
    with pytest.raises(ValueError, match="branches: expected at least 1, got 0"):
        build("split", 8, branches=0)
