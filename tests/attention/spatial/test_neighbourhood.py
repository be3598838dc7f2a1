from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps

CASES = [
    ((9,), (3,), 1),
    ((3,), (5,), 1),
    ((17,), (5,), 1),
    ((11,), (3,), 3),
    ((2,), (3,), 3),
    ((7, 8), (3, 5), 1),
    ((2, 6), (3, 3), 1),
    ((9, 7), (3, 3), 2),
    ((4, 5, 6), (3, 1, 3), 1),
    ((4, 5, 7), (3, 3, 3), (2, 1, 2)),
]


def window(position, size, kernel, step):
    """The keys of one query along one axis: `kernel` of them, all inside, of its remainder."""
    same = range(position % step, size, step)
    rank = position // step
    first = max(0, min(rank - kernel // 2, len(same) - kernel))
    return same[first : first + kernel]


def affinity(module, x, mask, kernel, steps):
    """(heads, L, L) and values (heads, L, d) of one sample (C, *grid)."""
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    tokens = x.reshape(len(x), -1).T
    centred = tokens - tokens.mean(1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    normed = normed * weights["norm.weight"] + weights["norm.bias"]
    projected = normed @ weights["query_key_value.weight"].T + weights["query_key_value.bias"]
    query, key, value = projected.reshape(len(tokens), 3, 2, -1).transpose(1, 2, 0, 3)
    grid = x.shape[1:]
    ends = [max(np.nonzero(mask)[axis], default=-1) + 1 for axis in range(mask.ndim)]
    pairs = np.zeros((2, len(tokens), len(tokens)))
    for site in product(*(range(size) for size in grid)):
        if not mask[site]:
            continue
        i = np.ravel_multi_index(site, grid)
        for other in product(*map(window, site, ends, kernel, steps)):
            if mask[other]:
                j = np.ravel_multi_index(other, grid)
                dots = (query[:, i] * key[:, j]).sum(1) / np.sqrt(query.shape[2])
                pairs[:, i, j] = np.exp(dots)
    return pairs / np.maximum(pairs.sum(2, keepdims=True), 1e-300), value


@pytest.mark.parametrize(("grid", "kernel", "dilation"), CASES)
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_query_by_query(grid, kernel, dilation, padded, training, randomise):
    module = build("na", 8, spatial_dims=len(grid), kernel=kernel, heads=2, dilation=dilation)
    steps = module.dilation
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.5 if padded else 2)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    for index in range(2):
        kept = mask[index, 0].numpy()
        rows, value = affinity(module, x[index].numpy(), kept, kernel, steps)
        mixed = (rows @ value).transpose(1, 0, 2).reshape(kept.size, -1)
        added = mixed @ module.output.weight.detach().numpy().T
        added = (added + module.output.bias.detach().numpy()) * kept.reshape(-1, 1)
        expected = x[index].numpy() + added.T.reshape(x[index].shape)
        np.testing.assert_allclose(out[index].detach(), expected, atol=1e-10, rtol=1e-10)
        np.testing.assert_allclose(maps[0].affinity[index], rows, atol=1e-10)
        values = maps[0].values[index].reshape(2, *grid)
        received = rows.sum(1).reshape(2, *grid) / max(1, kept.sum())
        np.testing.assert_allclose(values, received, atol=1e-10)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:return_lse is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
@pytest.mark.parametrize(
    ("grid", "kernel", "dilation"),
    [((19,), (5,), 1), ((9, 11), (3, 5), 1), ((5, 7, 8), (3, 3, 5), 1), ((11, 13), (5, 3), (2, 4))],
)
def test_equals_natten(grid, kernel, dilation, randomise):
    natten = pytest.importorskip("natten")
    ours = randomise(
        build("na", 64, spatial_dims=len(grid), kernel=kernel, heads=2, dilation=dilation)
    )
    x = torch.randn(2, 64, *grid)
    attend = getattr(natten, f"na{len(grid)}d")
    with torch.no_grad():  # their CPU kernel has no backward pass
        normed = F.layer_norm(x.movedim(1, -1), (64,), ours.norm.weight, ours.norm.bias)
        projected = ours.query_key_value(normed).unflatten(-1, (3, 2, 32)).movedim(-3, 0)
        mixed = attend(
            *projected.unbind(0), kernel_size=kernel, dilation=dilation, backend="flex-fna"
        )
        expected = x + ours.output(mixed.flatten(-2)).movedim(-1, 1)
        torch.testing.assert_close(ours(x), expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
def test_kernel_as_large_as_x_is_full_attention(grid, randomise):
    ours = randomise(build("na", 16, spatial_dims=len(grid), kernel=7, heads=4))
    joint = build("self_attention", 16, heads=4)
    joint.load_state_dict(ours.state_dict())
    x = torch.randn(2, 16, *grid)
    torch.testing.assert_close(ours(x), joint(x))


def test_memory_is_far_from_all_pairs():
    module = build("na", 8, heads=1, kernel=(3, 3, 3)).eval()
    x = torch.randn(1, 8, 8, 24, 24)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            parts = out if isinstance(out, tuple | list) else (out,)
            largest = max(largest, *(p.numel() for p in parts if isinstance(p, torch.Tensor)), 0)
            return out

    with Watch(), torch.no_grad(), record_maps(module):
        module(x)
    assert largest <= (8 * 24 * 24) ** 2 / 20


def test_settings_are_checked():
    with pytest.raises(ValueError, match="kernel: expected 3 odd sizes or one, got 4"):
        build("na", 8, kernel=4)
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("na", 20)


def test_a_window_larger_than_the_sequence_reads_each_real_position_once(randomise):
    ours = build("neighbourhood", 8, spatial_dims=1, heads=2, kernel=7)
    theirs = build("self_attention", 8, spatial_dims=1, heads=2)
    randomise(ours).double()
    theirs.double().load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 4, dtype=torch.float64)
    mask = torch.tensor([[[True, False, True, True]], [[True, True, False, True]]])
    torch.testing.assert_close(ours(x, mask=mask), theirs(x, mask=mask))


def test_a_dilated_window_larger_than_the_sequence_reads_every_other_position_once(randomise):
    ours = build("neighbourhood", 8, spatial_dims=1, heads=2, kernel=7, dilation=2)
    theirs = build("self_attention", 8, spatial_dims=1, heads=2)
    randomise(ours).double()
    theirs.double().load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    mask = torch.tensor([True, True, False, True, True]).reshape(1, 1, 5)
    for first in (0, 1):
        every_other = x[..., first::2]
        torch.testing.assert_close(ours(x)[..., first::2], theirs(every_other))
        found, expected = ours(x, mask=mask), theirs(every_other, mask=mask[..., first::2])
        torch.testing.assert_close(found[..., first::2], expected)
