from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


def normalised(x, norm, training):
    """Batch normalisation over all axes but the second."""
    others = [axis for axis in range(x.ndim) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
    if training:
        mean, variance = x.mean(others), x.var(others, unbiased=False)
    else:
        mean, variance = norm.running_mean, norm.running_var
    scale = norm.weight / (variance + norm.eps).sqrt()
    return (x - mean.reshape(shape)) * scale.reshape(shape) + norm.bias.reshape(shape)


def read(line, x, mask, training):
    """(B, C, A) -> (B, C, A), pair by pair."""
    heads, span = line.heads, line.span
    count, channels, size = x.shape
    width = channels // heads
    half = width // 2
    projected = torch.einsum("oc,bca->boa", line.query_key_value.weight[:, :, 0], x)
    projected = normalised(projected, line.input_norm, training)
    projected = projected.reshape(count, heads, 2 * width, size)
    query, key, value = projected[:, :, :half], projected[:, :, half:width], projected[:, :, width:]
    by_query, by_key = line.relative[:half], line.relative[half:width]
    by_value = line.relative[width:]
    logits = torch.zeros(count, 3, heads, size, size, dtype=x.dtype)
    for i in range(size):
        for j in range(size):
            to, back = i - j + span - 1, j - i + span - 1
            logits[:, 0, :, i, j] = (query[..., i] * key[..., j]).sum(2)
            logits[:, 1, :, i, j] = query[..., i] @ by_query[:, to]
            logits[:, 2, :, i, j] = key[..., j] @ by_key[:, back]
    logits = normalised(logits.flatten(1, 2), line.logit_norm, training)
    logits = logits.reshape(count, 3, heads, size, size).sum(1)
    weights = logits.exp() * mask[:, :, None]
    weights = weights / weights.sum(3, keepdim=True).clamp(min=1e-300)
    both = torch.zeros(count, channels, 2, size, dtype=x.dtype)
    for i in range(size):
        content = torch.einsum("bhj,bhcj->bhc", weights[:, :, i], value)
        steps = i - torch.arange(size) + span - 1
        distance = torch.einsum("bhj,cj->bhc", weights[:, :, i], by_value[:, steps])
        both[:, :, 0, i], both[:, :, 1, i] = content.flatten(1), distance.flatten(1)
    both = normalised(both.flatten(1, 2), line.output_norm, training)
    return both.reshape(count, channels, 2, size).sum(2) * mask


@pytest.mark.parametrize("grid", [(4, 5), (2, 4, 3), (1, 3, 4)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_pair_by_pair(grid, padded, training, randomise):
    module = build("position_sensitive_axial", 8, spatial_dims=len(grid), heads=2, span=6)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    expected = x * mask
    for axis, name in enumerate("THW"[-len(grid) :]):
        if grid[axis] > 1:
            lines = expected.movedim(axis + 2, -1).movedim(1, -2)
            masks = mask.movedim(axis + 2, -1).movedim(1, -2)
            line = module.along[name].module
            out = read(line, lines.flatten(0, -3), masks.flatten(0, -3), training)
            expected = out.reshape(lines.shape).movedim(-2, 1).movedim(-1, axis + 2)
    out = module(x, mask=mask if padded else None)
    torch.testing.assert_close(out, x + expected, atol=1e-10, rtol=1e-10)


def test_maps_sum_to_one_on_each_line(randomise):
    module = randomise(build("axial_deeplab", 16)).eval()
    with record_maps(module) as maps:
        module(torch.randn(2, 16, 3, 4, 5))
    assert [found.name for found in maps] == [f"along.{axis}.module" for axis in "THW"]
    for axis, found in enumerate(maps):
        sums = found.values.sum(axis + 2)
        torch.testing.assert_close(sums, torch.ones_like(sums))


def test_maps_are_those_of_what_is_left_without_padding(randomise):
    module = randomise(build("axial_deeplab", 8, spatial_dims=2, heads=2)).double().eval()
    x = torch.randn(2, 8, 1, 5, dtype=torch.float64)
    with record_maps(module) as maps:
        module(x, mask=torch.arange(5).lt(3).reshape(1, 1, 1, 5))
        module(x[..., :3])
    torch.testing.assert_close(maps[0].values[..., :3], maps[1].values)
    assert (maps[0].values[..., 3:] == 0).all()


def test_smaller_axes_use_the_middle_of_the_table(randomise):
    large = randomise(build("axial_deeplab", 8, spatial_dims=2, heads=2, span=9)).double().eval()
    small = build("axial_deeplab", 8, spatial_dims=2, heads=2, span=5).double().eval()
    state = large.state_dict()
    small.load_state_dict(
        {name: v[:, 4:-4] if name.endswith("relative") else v for name, v in state.items()}
    )
    x = torch.randn(2, 8, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(large(x), small(x))


def test_axis_beyond_the_span_is_refused():
    module = build("axial_deeplab", 16, spatial_dims=2, span=4)
    with pytest.raises(ValueError, match="span: expected at least 5, the size of x, got 4"):
        module(torch.zeros(1, 16, 4, 5))
    with pytest.raises(ValueError, match="heads: expected a divisor of 8 channels into even"):
        build("axial_deeplab", 8)
