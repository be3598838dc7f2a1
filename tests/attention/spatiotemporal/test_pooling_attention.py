from __future__ import annotations

import pytest
import torch
from pytorchvideo.layers.attention import MultiScaleAttention
from torch.nn import functional as F
from torchvision.models.video import mvit

from vidattn.attention import build, record_maps

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def affinity(module, x, mask):
    """(N, heads, L, L'), the pooled query and the pooled values."""
    grid, stride = x.shape[2:], module.stride
    tokens = x.flatten(2).transpose(1, 2)
    normed = F.layer_norm(tokens, tokens.shape[2:], module.norm.weight, module.norm.bias)
    parts = (module.query_key_value(normed) * mask.flatten(2).transpose(1, 2)).chunk(3, dim=2)
    pooled = []
    for index, part in enumerate(parts):
        weight = module.pools[index].weight
        steps = stride if index else (1,) * len(grid)
        heads = []
        for one in part.transpose(1, 2).chunk(module.heads, dim=1):
            one = CONVOLUTIONS[len(grid)](
                one.reshape(len(x), -1, *grid),
                weight,
                stride=steps,
                padding=tuple(size // 2 for size in weight.shape[2:]),
                groups=len(weight),
            )
            norm = module.norms[index]
            one = one.flatten(2).transpose(1, 2)
            heads.append(F.layer_norm(one, one.shape[2:], norm.weight, norm.bias))
        pooled.append(torch.stack(heads, dim=1))
    query, key, value = pooled
    logits = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    sites = torch.cartesian_prod(*map(torch.arange, grid)).reshape(-1, len(grid))
    cells = [torch.arange(-(-size // s)) for size, s in zip(grid, stride, strict=True)]
    centres = torch.cartesian_prod(*cells).reshape(-1, len(grid)) * torch.tensor(stride)
    kept = torch.zeros(len(x), len(centres), dtype=torch.bool)
    for index, centre in enumerate(centres):
        cell = tuple(slice(c, c + s) for c, s in zip(centre.tolist(), stride, strict=True))
        kept[:, index] = mask[(slice(None), 0, *cell)].flatten(1).any(1)
    for axis, table in enumerate(module.relative.values()):
        size, s = module.size[axis], stride[axis]
        steps = sites[:, None, axis] - centres[None, :, axis] + (-(-size // s) - 1) * s
        logits = logits + torch.einsum("nhid,ijd->nhij", query, table[steps])
    pairs = logits.exp() * kept[:, None, None]
    return pairs / pairs.sum(3, keepdim=True), query, value


@pytest.mark.parametrize(
    ("grid", "kernel", "stride"),
    [((7,), 3, 2), ((4, 7), (1, 3), (2, 3)), ((3, 5, 4), 3, (1, 2, 2)), ((4, 4, 2), 5, 1)],
)
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, kernel, stride, version, padded, training, randomise):
    module = build(
        "mvit",
        8,
        spatial_dims=len(grid),
        heads=2,
        kernel=kernel,
        stride=stride,
        version=version,
        size=8,
    )
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    rows, query, value = affinity(module, x, mask)
    mixed = rows @ value + (query if version == 2 else 0)
    added = mixed.transpose(1, 2).flatten(2) @ module.output.weight.T + module.output.bias
    expected = x + added.transpose(1, 2).reshape(x.shape) * mask
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)
    rows = rows.detach() * mask.flatten(2).unsqueeze(3)
    torch.testing.assert_close(maps[0].affinity, rows, atol=1e-10, rtol=1e-10)
    values = maps[0].values.reshape(2, 2, *grid)
    assert (values[~mask.expand_as(values)] == 0).all()
    ones = torch.ones(2, 2, dtype=torch.float64)
    torch.testing.assert_close(values.flatten(2).sum(2), ones, atol=1e-10, rtol=1e-10)


def test_first_version_equals_pytorchvideo(randomise):
    ours = randomise(build("mvit", 8, heads=2, stride=(1, 2, 3), version=1)).double()
    theirs = MultiScaleAttention(
        8,
        2,
        qkv_bias=True,
        kernel_q=(3, 3, 3),
        kernel_kv=(3, 3, 3),
        stride_kv=(1, 2, 3),
        has_cls_embed=False,
    ).double()
    with torch.no_grad():
        for index, letter in enumerate("qkv"):
            part = slice(8 * index, 8 * index + 8)
            getattr(theirs, letter).weight.copy_(ours.query_key_value.weight[part])
            getattr(theirs, letter).bias.copy_(ours.query_key_value.bias[part])
            getattr(theirs, f"pool_{letter}").load_state_dict(ours.pools[index].state_dict())
            getattr(theirs, f"norm_{letter}").load_state_dict(ours.norms[index].state_dict())
        theirs.proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(2, 8, 3, 5, 7, dtype=torch.float64)
    normed = F.layer_norm(x.flatten(2).transpose(1, 2), (8,), ours.norm.weight, ours.norm.bias)
    added, _ = theirs(normed, [3, 5, 7])
    expected = x + added.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-12, rtol=1e-12)


def test_distances_equal_torchvision(randomise):
    module = randomise(build("mvit", 8, heads=2, stride=(1, 2, 3), size=(3, 4, 6))).double()
    query = torch.randn(2, 2, 72, 4, dtype=torch.float64)
    with_class = F.pad(query, (0, 0, 1, 0))
    tables = (module.relative[axis] for axis in "HWT")
    pairs = torch.zeros(2, 2, 73, 13, dtype=torch.float64)
    expected = mvit._add_rel_pos(pairs, with_class, (3, 4, 6), (3, 2, 2), *tables)[:, :, 1:, 1:]
    found = module._relative(query, (3, 4, 6))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("grid", [(3, 5, 7), (2, 4, 6), (4, 9, 9), (3, 10, 11)])
def test_distances_of_any_size_equal_torchvision(grid, randomise):
    """Strides that do not divide, and tables made for another size."""
    stride, size = (1, 2, 4), (3, 8, 8)
    module = randomise(build("mvit", 8, heads=2, stride=stride, size=size, compat=True)).double()
    keys = tuple(-(-one // step) for one, step in zip(grid, stride, strict=True))
    length = grid[0] * grid[1] * grid[2]
    query = torch.randn(2, 2, length, 4, dtype=torch.float64)
    tables = (module.relative[axis] for axis in "HWT")
    count = keys[0] * keys[1] * keys[2]
    pairs = torch.zeros(2, 2, length + 1, count + 1, dtype=torch.float64)
    expected = mvit._add_rel_pos(pairs, F.pad(query, (0, 0, 1, 0)), grid, keys, *tables)
    found = module._relative(query, grid)
    torch.testing.assert_close(found, expected[:, :, 1:, 1:], atol=1e-12, rtol=1e-12)


def test_distances_by_the_ratio_of_sizes_equal_a_table_by_hand(randomise):
    """Seven positions, four keys: 1.75 apart, and cut to whole distances."""
    module = build("mvit", 8, spatial_dims=1, heads=1, stride=2, size=7, compat=True)
    module = randomise(module).double()
    query = torch.randn(1, 1, 7, 8, dtype=torch.float64)
    expected = torch.empty(7, 4, dtype=torch.float64)
    for i in range(7):
        for j in range(4):
            row = int(i + (3 - j) * 1.75)
            expected[i, j] = query[0, 0, i] @ module.relative["T"][row]
    torch.testing.assert_close(module._relative(query, (7,))[0, 0], expected)
    x = torch.randn(1, 8, 7, dtype=torch.float64)
    other = build("mvit", 8, spatial_dims=1, heads=1, stride=2, size=7).double()
    other.load_state_dict(module.state_dict())
    assert not torch.allclose(module(x), other(x))
    even = torch.randn(1, 8, 6, dtype=torch.float64)
    for one in (module, other):
        one.relative["T"] = torch.nn.Parameter(module.relative["T"][:11])
        one.size = (6,)
    torch.testing.assert_close(module(even), other(even))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="compat: version 1 has no distances"):
        build("mvit", 8, version=1, compat=True)
    with pytest.raises(ValueError, match="version: expected 1 or 2, got 3"):
        build("mvit", 8, version=3)
    module = build("mvit", 8, size=4)
    with pytest.raises(ValueError, match=r"size: expected at least \(5, 4, 4\), got \(4, 4, 4\)"):
        module(torch.zeros(1, 8, 5, 4, 4))
