from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


def bilinear(image, row, column):
    """(C, H, W) at one place; 0 outside."""
    total = torch.zeros(len(image), dtype=image.dtype)
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            if 0 <= r < image.shape[1] and 0 <= c < image.shape[2]:
                total += image[:, r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def linear(layer, x):
    """A linear layer at every place of (C, H, W)."""
    return torch.einsum("oc,chw->ohw", layer.weight, x) + layer.bias[:, None, None]


def layer_norm(x, norm):
    return F.layer_norm(x.movedim(0, -1), (len(x),), norm.weight, norm.bias).movedim(-1, 0)


@torch.no_grad()
def reference(module, x, stride, real):
    """One image (C, H, W), 1 where it is real (H, W) -> change, and what was read (heads, H, W)."""
    heads, groups = module.heads, module.groups
    height, width = x.shape[1:]
    normed = layer_norm(x * real, module.norm)
    query = linear(module.query, normed)
    size = len(x) // groups
    kernel = module.look.weight.shape[-1]
    change = torch.zeros(len(x), height, width, dtype=x.dtype)
    heat = torch.zeros(heads, height, width, dtype=x.dtype)
    ones = torch.eye(height * width, dtype=x.dtype).reshape(-1, height, width)
    rows, columns = (2 * side.item() for side in torch.tensor(module.position_bias.shape[2:]) // 2)
    places, samples, kept = [], [], []
    for group in range(groups):
        part = slice(group * size, group * size + size)
        padding = kernel // 2 if kernel != stride else 0
        seen = F.conv2d(
            (query * real)[None, part],
            module.look.weight,
            module.look.bias,
            stride=stride,
            padding=padding,
            groups=size,
        )[0]
        seen = layer_norm(seen, module.look_norm)
        seen = seen * (1 + torch.erf(seen / math.sqrt(2))) / 2
        moves = torch.einsum("oc,chw->ohw", module.offset.weight, seen).tanh()
        count = seen.shape[1:]
        found, read, reads = [], [], []
        for r in range(count[0]):
            for c in range(count[1]):
                ends = [max(1, one - 1) for one in count]
                down = (2 * r + 1 + module.offset_range * moves[0, r, c].item()) / ends[0] - 1
                right = (2 * c + 1 + module.offset_range * moves[1, r, c].item()) / ends[1] - 1
                found.append((down, right))
                row, column = (down + 1) / 2 * (height - 1), (right + 1) / 2 * (width - 1)
                read.append(bilinear((normed * real)[part], row, column))
                reads.append(bilinear(1 - real[None], row, column).item() < 0.9999)
        places.append(found)
        kept.append(torch.tensor(reads))
        samples.append(torch.stack(read))
    samples = torch.cat(samples, dim=1)
    key = samples @ module.key.weight.T + module.key.bias
    value = samples @ module.value.weight.T + module.value.bias
    deep = len(x) // heads
    for r in range(height):
        for c in range(width):
            mixed = []
            for head in range(heads):
                part = slice(head * deep, head * deep + deep)
                found = places[head // (heads // groups)]
                logits = key[:, part] @ query[part, r, c] / math.sqrt(deep)
                bias = []
                for down, right in found:
                    move = (2 * r / (height - 1) - 1 - down, 2 * c / (width - 1) - 1 - right)
                    row, column = (move[0] / 2 + 1) / 2 * rows, (move[1] / 2 + 1) / 2 * columns
                    bias.append(bilinear(module.position_bias[0, head : head + 1], row, column))
                powers = (logits + torch.cat(bias)).exp() * kept[head // (heads // groups)]
                weights = powers / powers.sum()
                mixed.append(weights @ value[:, part])
                for weight, (down, right) in zip(weights, found, strict=True):
                    row, column = (down + 1) / 2 * (height - 1), (right + 1) / 2 * (width - 1)
                    spread = bilinear(ones, row, column).reshape(height, width)
                    heat[head] += weight * real[r, c] * spread
            change[:, r, c] = module.output.weight @ torch.cat(mixed) + module.output.bias
    return change * real, heat * real / real.sum()


@pytest.mark.parametrize(
    "settings",
    [{}, {"groups": 1}, {"kernel": 3, "stride": 3, "groups": 2}, {"stride": 1, "size": 3}],
)
def test_equals_point_by_point(settings, randomise):
    settings = {"heads": 4, "groups": 4, "size": (4, 6), **settings}
    module = randomise(build("dat", 8, spatial_dims=2, **settings)).double()
    sizes = {3: (5, 5), (4, 6): (7, 11)}[settings["size"]]
    assert module.position_bias.shape == (1, 4, *sizes)
    x = torch.randn(2, 8, 6, 7, dtype=torch.float64)
    # The second has points between positions of padding, and padding between real positions.
    mask = torch.ones(2, 1, 6, 7, dtype=torch.bool)
    mask[1, 0, 2:5, 1:5] = mask[1, 0, 0, 5] = False
    with torch.no_grad(), record_maps(module) as maps:
        out = module(x, mask=mask)
        torch.testing.assert_close(module(x)[0], out[0])
    for index in range(2):
        expected = reference(module, x[index], settings.get("stride", 2), mask[index, 0].double())
        found = (out[index] - x[index], maps[0].values[index, :, 0])
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_one_real_position_looks_alone(randomise):
    module = randomise(build("dat", 8, spatial_dims=2, heads=4, size=4)).double()
    x = torch.randn(1, 8, 4, 4, dtype=torch.float64)
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 1, 2] = True
    with torch.no_grad(), record_maps(module) as maps:
        out = module(x, mask=mask)
    expected = reference(module, x[0], 2, mask[0, 0].double())
    found = (out[0] - x[0], maps[0].values[0, :, 0])
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
    assert maps[0].values[..., 1, 2].any()


def test_points_in_padding_are_not_read(randomise):
    module = randomise(build("dat", 8, spatial_dims=2, heads=4, offset_range=0.0)).double()
    x = torch.randn(1, 8, 8, 9, dtype=torch.float64)
    mask = torch.ones(1, 1, 8, 9, dtype=torch.bool)
    mask[..., 4:] = False
    with record_maps(module) as maps:
        module(x, mask=mask)
    assert (maps[0].values[..., 4:] == 0).all()
    assert (maps[0].values[..., :4] > 0).any()


def test_settings_are_checked():
    with pytest.raises(
        ValueError, match="to divide 8 channels and groups to divide heads, got 4, 3"
    ):
        build("dat", 8, spatial_dims=2, heads=4, groups=3)
    with pytest.raises(ValueError, match="kernel: expected 1 odd sizes or one, got 4"):
        build("dat", 8, spatial_dims=2, kernel=4)
