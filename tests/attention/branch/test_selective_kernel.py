from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def convolve(x: np.ndarray, weight: np.ndarray, *, stride: int, dilation: int, groups: int):
    """x (N, C, *positions), weight (C', C / groups, *kernel): sums over the kernel's entries."""
    kernel = weight.shape[2:]
    margin = [(size // 2 * dilation,) * 2 for size in kernel]
    padded = np.pad(x, [(0, 0), (0, 0), *margin])
    inputs, outputs = weight.shape[1], weight.shape[0] // groups
    out = 0
    for entry in itertools.product(*map(range, kernel)):
        window = tuple(
            slice(k * dilation, k * dilation + size, stride)
            for k, size in zip(entry, x.shape[2:], strict=True)
        )
        seen = padded[(..., *window)]
        parts = [
            np.einsum(
                "oi,ni...->no...",
                weight[(slice(g * outputs, (g + 1) * outputs), slice(None), *entry)],
                seen[:, g * inputs : (g + 1) * inputs],
            )
            for g in range(groups)
        ]
        out = out + np.concatenate(parts, axis=1)
    return out


def normalise(x: np.ndarray, norm, *, training: bool) -> np.ndarray:
    state = {name: value.numpy() for name, value in norm.state_dict().items()}
    others = (0, *range(2, x.ndim))
    centre = x.mean(others) if training else state["running_mean"]
    spread = x.var(others) if training else state["running_var"]
    shape = (1, -1, *[1] * (x.ndim - 2))
    centred = (x - centre.reshape(shape)) / np.sqrt(spread.reshape(shape) + 1e-5)
    return centred * state["weight"].reshape(shape) + state["bias"].reshape(shape)


def reference(x: np.ndarray, module, *, stride: int, groups: int, training: bool):
    """The output, and the weights (N, branches, C')."""
    seen = []
    for index, branch in enumerate(module.branches):
        weight = branch[0].weight.detach().numpy()
        out = convolve(x, weight, stride=stride, dilation=index + 1, groups=groups)
        seen.append(np.maximum(normalise(out, branch[1], training=training), 0))
    means = sum(seen).reshape(*seen[0].shape[:2], -1).mean(2)
    hidden = means @ module.reduce.weight.detach().numpy().T
    hidden = np.maximum(normalise(hidden, module.norm, training=training), 0)
    logits = hidden @ module.select.weight.detach().numpy().T
    logits = logits.reshape(len(x), len(seen), -1)
    weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    spread = weights.reshape(*weights.shape, *[1] * (x.ndim - 2))
    return sum(spread[:, m] * seen[m] for m in range(len(seen))), weights


@pytest.mark.parametrize("grid", [(7,), (5, 6), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("stride", "groups", "branches", "outputs"), [(1, 1, 2, 8), (2, 4, 3, 12)])
def test_equals_formula(grid, training, stride, groups, branches, outputs, randomise):
    module = build(
        "sk",
        8,
        spatial_dims=len(grid),
        out_channels=outputs,
        stride=stride,
        groups=groups,
        branches=branches,
        minimum_width=6,
    )
    randomise(module).double().train(training)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected, weights = reference(
        x.numpy(), module, stride=stride, groups=groups, training=training
    )
    with record_maps(module) as maps:
        out = module(x)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(maps[0].values.flatten(1).numpy(), weights.mean(2), rtol=1e-10)
    assert maps[0].axes[1] == "branches"


@pytest.mark.oracle
@pytest.mark.parametrize("training", [True, False])
def test_equals_timm(training, randomise):
    timm = pytest.importorskip("timm.layers")
    module = randomise(build("sk", 16, spatial_dims=2, stride=2, groups=4)).double()
    theirs = timm.SelectiveKernel(16, stride=2, groups=4, rd_channels=32, split_input=False)
    theirs.double()
    for ours, path in zip(module.branches, theirs.paths, strict=True):
        path.conv.load_state_dict(ours[0].state_dict())
        path.bn.load_state_dict(ours[1].state_dict())
    theirs.attn.bn.load_state_dict(module.norm.state_dict())
    with torch.no_grad():
        theirs.attn.fc_reduce.weight.copy_(module.reduce.weight[:, :, None, None])
        theirs.attn.fc_select.weight.copy_(module.select.weight[:, :, None, None])
    x = torch.randn(3, 16, 7, 6, dtype=torch.float64)
    expected = theirs.train(training)(x)
    torch.testing.assert_close(module.train(training)(x), expected, atol=1e-11, rtol=1e-10)


def test_narrow_layers_keep_the_papers_minimum_width():
    assert build("sk", 64).reduce.out_features == 32
    assert build("sk", 1024, spatial_dims=1).reduce.out_features == 64


@pytest.mark.parametrize(
    ("channels", "settings", "width"),
    [
        (64, {}, 32),
        (512, {}, 32),
        (640, {}, 40),
        (64, {"reduction": 1}, 64),
        (64, {"minimum_width": 4}, 4),
        (64, {"minimum_width": 48}, 48),
        (64, {"out_channels": 1024}, 64),
        (1024, {"out_channels": 64}, 32),
        (64, {"branches": 3, "reduction": 2}, 32),
    ],
)
def test_hidden_width_is_that_of_the_paper(channels, settings, width):
    """d = max(C' / r, L), section 3.1, equation 4."""
    module = build("sk", channels, spatial_dims=1, **settings)
    out_channels = settings.get("out_channels", channels)
    assert module.reduce.weight.shape == (width, out_channels)
    assert module.norm.weight.shape == (width,)
    assert module.select.weight.shape == (settings.get("branches", 2) * out_channels, width)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 4}, "kernel_size: expected 3 odd sizes or one, got 4"),
        ({"branches": 0}, "branches: expected at least 1, got 0"),
        ({"stride": 0}, "stride: expected 3 strides or one, got 0"),
        ({"stride": (1, 2)}, r"stride: expected 3 strides or one, got \(1, 2\)"),
    ],
)
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build("sk", 8, **settings)
