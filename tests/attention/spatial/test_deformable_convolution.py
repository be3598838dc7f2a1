from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


def bilinear(image, row, column):
    """(C, H, W) at one place; 0 outside."""
    total = torch.zeros(len(image), dtype=image.dtype)
    for r in (int(row // 1), int(row // 1) + 1):
        for c in (int(column // 1), int(column // 1) + 1):
            if 0 <= r < image.shape[1] and 0 <= c < image.shape[2]:
                total += image[:, r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def reference(module, image, real):
    """One image (C, H, W), output position by output position; and where it was read.

    `real` (H, W) is 0 at padding, and 1 elsewhere.
    """
    image = image * real
    rows, columns = module.kernel
    taps, groups = rows * columns, module.groups
    padding = (rows // 2, columns // 2)
    seen = F.conv2d(image[None], module.offset.weight, module.offset.bias, padding=padding)[0]
    offsets = seen[: 2 * groups * taps].reshape(groups, taps, 2, *image.shape[1:])
    modulation = 1 / (1 + (-seen[2 * groups * taps :]).exp())
    modulation = modulation.reshape(groups, taps, *image.shape[1:])
    weight = module.convolution.weight.flatten(2)
    out = module.convolution.bias[:, None, None].expand_as(image).clone()
    heat = torch.zeros(groups, *image.shape[1:], dtype=image.dtype)
    ones = torch.eye(heat[0].numel(), dtype=image.dtype).reshape(-1, *heat.shape[1:])
    width = len(image) // groups
    for r in range(image.shape[1]):
        for c in range(image.shape[2]):
            for tap in range(taps):
                step = (tap // columns - padding[0], tap % columns - padding[1])
                for group in range(groups):
                    part = slice(group * width, group * width + width)
                    down, right = offsets[group, tap, :, r, c].tolist()
                    place = (r + step[0] + down, c + step[1] + right)
                    share = modulation[group, tap, r, c]
                    out[:, r, c] += weight[:, part, tap] @ (bilinear(image[part], *place) * share)
                    heat[group] += bilinear(ones, *place).reshape(real.shape) * share * real[r, c]
    return out * real, heat * real / real.sum()


@pytest.mark.parametrize("settings", [{}, {"kernel": (1, 3), "offset_groups": 2}])
@pytest.mark.parametrize("training", [True, False])
def test_equals_tap_by_tap(settings, training, randomise):
    module = build("dcn", 4, spatial_dims=2, **settings)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 4, 5, 4, dtype=torch.float64)
    mask = torch.ones(2, 1, 5, 4, dtype=torch.bool)
    mask[1, 0, :, :3] = False
    mask[1, 0, 1:, 3] = False  # one position alone
    with record_maps(module) as maps:
        out = module(x, mask=mask)
    for index in range(2):
        expected, heat = reference(module, x[index], mask[index, 0].double())
        torch.testing.assert_close(out[index], expected, atol=1e-10, rtol=1e-10)
        found = maps[0].values[index, :, 0]
        torch.testing.assert_close(found, heat.detach(), atol=1e-10, rtol=1e-10)


def test_a_new_one_is_half_a_convolution():
    module = build("dcn", 8, spatial_dims=2)
    x = torch.randn(2, 8, 5, 7)
    weight, bias = module.convolution.weight, module.convolution.bias
    expected = F.conv2d(x, weight / 2, bias, padding=1)
    torch.testing.assert_close(module(x), expected)
    with record_maps(module) as maps:
        module(x)
    inner = maps[0].values[0, 0, 0, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 9 / 2 / 35))


def test_padding_is_not_read(randomise):
    module = randomise(build("dcn", 4, spatial_dims=2))
    x = torch.randn(1, 4, 4, 6)
    mask = torch.ones(1, 1, 4, 6, dtype=torch.bool)
    mask[..., 4:] = False
    with record_maps(module) as maps:
        out = module(x, mask=mask)
    torch.testing.assert_close(out[..., :4], module(x[..., :4]))
    assert (out[..., 4:] == 0).all()
    assert (maps[0].values[..., 4:] == 0).all()


def test_groups_must_divide():
    with pytest.raises(ValueError, match="offset_groups: expected a divisor of 4 channels, got 3"):
        build("dcn", 4, spatial_dims=2, offset_groups=3)
