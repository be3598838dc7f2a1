from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.models.swin_transformer import ShiftedWindowAttention
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from vidattn.attention import build, record_maps

CASES = [((5,), (3,)), ((3,), (4,)), ((5, 7), (2, 3)), ((6, 4), (3, 9)), ((3, 5, 4), (2, 3, 6))]


def affinity(module, x, mask, window, *, shifted):
    """(heads, L, L) of one sample (C, *grid), pair by pair; and the values (heads, L, d)."""
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    tokens = x.reshape(len(x), -1).T
    centred = tokens - tokens.mean(1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    normed = normed * weights["norm.weight"] + weights["norm.bias"]
    projected = normed @ weights["query_key_value.weight"].T + weights["query_key_value.bias"]
    heads = weights["position_bias"].shape[1]
    query, key, value = projected.reshape(len(tokens), 3, heads, -1).transpose(1, 2, 0, 3)
    grid = x.shape[1:]
    moved = [shifted * (one // 2) * (size > one) for size, one in zip(grid, window, strict=True)]
    sites = list(product(*(range(size) for size in grid)))
    pairs = np.zeros((heads, len(sites), len(sites)))
    for i, a in enumerate(sites):
        for j, b in enumerate(sites):
            same = all(
                (p - s) // w == (q - s) // w for p, q, s, w in zip(a, b, moved, window, strict=True)
            )
            if not same or not mask[a] or not mask[b]:
                continue
            offset = tuple(p - q + w - 1 for p, q, w in zip(a, b, window, strict=True))
            bias = weights["position_bias"][(0, slice(None), *offset)]
            dots = (query[:, i] * key[:, j]).sum(1) / query.shape[2] ** 0.5
            pairs[:, i, j] = np.exp(dots + bias)
    return pairs / np.maximum(pairs.sum(2, keepdims=True), 1e-300), value


@pytest.mark.parametrize(("grid", "window"), CASES)
@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_pair_by_pair(grid, window, shifted, padded, training, randomise):
    module = build("swin", 8, spatial_dims=len(grid), window=window, heads=2, shifted=shifted)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    for index in range(2):
        kept = mask[index, 0].numpy()
        rows, value = affinity(module, x[index].numpy(), kept, window, shifted=shifted)
        mixed = (rows @ value).transpose(1, 0, 2).reshape(kept.size, -1)
        added = mixed @ module.output.weight.detach().numpy().T
        added = (added + module.output.bias.detach().numpy()) * kept.reshape(-1, 1)
        expected = x[index].numpy() + added.T.reshape(x[index].shape)
        np.testing.assert_allclose(out[index].detach(), expected, atol=1e-10, rtol=1e-10)
        np.testing.assert_allclose(maps[0].affinity[index], rows, atol=1e-10)
        received = rows.sum(1).reshape(2, *grid) / kept.sum()
        values = maps[0].values[index].reshape(received.shape)
        np.testing.assert_allclose(values, received, atol=1e-10)


@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("grid", "window"),
    [
        ((4, 6, 6), (2, 3, 3)),
        ((3, 6, 4), (5, 3, 2)),
        ((3, 7, 5), (2, 3, 3)),
        ((3, 2, 5), (2, 3, 9)),
    ],
)
def test_equals_torchvision_clip(grid, window, shifted, training, randomise):
    divides = all(size % one == 0 or size < one for size, one in zip(grid, window, strict=True))
    clipped = any(size < one for size, one in zip(grid[1:], window[1:], strict=True))
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    shift = [one // 2 if shifted else 0 for one in window]
    for compat in (True, False):
        ours = randomise(build("swin", 8, window=window, heads=2, shifted=shifted, compat=compat))
        ours = ours.double().train(training)
        theirs = ShiftedWindowAttention3d(8, list(window), shift, 2).double().train(training)
        copy_weights(ours, theirs)
        normed = F.layer_norm(x.movedim(1, -1), (8,), ours.norm.weight, ours.norm.bias)
        expected = x + theirs(normed).movedim(-1, 1)
        agree = torch.allclose(ours(x), expected, atol=1e-12, rtol=1e-12)
        assert agree == (compat or (divides and not clipped))


@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize(("grid", "window"), [((6, 9), (3, 3)), ((7, 5), (3, 2)), ((2, 7), (4, 3))])
def test_equals_torchvision_image(grid, window, shifted, randomise):
    ours = build("swin", 8, spatial_dims=2, window=window, heads=2, shifted=shifted, compat=True)
    ours = randomise(ours).double()
    shift = [one // 2 if shifted else 0 for one in window]
    theirs = ShiftedWindowAttention(8, list(window), shift, 2).double()
    copy_weights(ours, theirs)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    normed = F.layer_norm(x.movedim(1, -1), (8,), ours.norm.weight, ours.norm.bias)
    expected = x + theirs(normed).movedim(-1, 1)
    torch.testing.assert_close(ours(x), expected, atol=1e-12, rtol=1e-12)


def test_one_window_without_bias_is_self_attention(randomise):
    ours = randomise(build("swin", 16, heads=4))
    torch.nn.init.zeros_(ours.position_bias)
    joint = build("self_attention", 16, heads=4)
    joint.load_state_dict({k: v for k, v in ours.state_dict().items() if k != "position_bias"})
    x = torch.randn(2, 16, 3, 5, 7)
    torch.testing.assert_close(ours(x), joint(x))


def test_uniform_attention_gives_a_uniform_map():
    module = build("swin", 8, heads=2, window=(2, 3, 3), shifted=True)
    for parameter in (module.query_key_value.weight, module.position_bias):
        torch.nn.init.zeros_(parameter)
    with record_maps(module) as maps:
        module(torch.randn(1, 8, 5, 7, 4))
    torch.testing.assert_close(maps[0].values, torch.full((1, 2, 5, 7, 4), 1 / 140))


def test_exported_clip_longer_than_a_window(randomise):
    module = randomise(build("swin", 8, heads=2, window=(2, 3, 3), shifted=True)).eval()
    dynamic = torch.export.Dim.DYNAMIC
    shapes = ({0: dynamic, 2: dynamic},)
    exported = torch.export.export(module, (torch.randn(2, 8, 5, 4, 4),), dynamic_shapes=shapes)
    x = torch.randn(3, 8, 8, 4, 4)
    torch.testing.assert_close(exported.module()(x), module(x))


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"window: expected 3 sizes or one, at least 1, got \(7,"):
        build("swin", 8, window=(7, 7))
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("swin", 20)


def copy_weights(ours, theirs) -> None:
    with torch.no_grad():
        theirs.qkv.load_state_dict(ours.query_key_value.state_dict())
        theirs.proj.load_state_dict(ours.output.state_dict())
        table = ours.position_bias[0].flatten(1).T
        theirs.relative_position_bias_table.copy_(table)


def test_a_bias_for_each_difference_of_places_and_no_more():
    module = build("shifted_window", 8, spatial_dims=3, heads=2, window=(2, 3, 5))
    assert module.position_bias.shape == (1, 2, 3, 5, 9)
