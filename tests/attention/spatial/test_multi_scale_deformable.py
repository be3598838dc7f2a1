from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


def bilinear(image, row, column):
    """(C, H, W) at one place; 0 outside."""
    total = torch.zeros(len(image), dtype=image.dtype)
    for r in (int(row // 1), int(row // 1) + 1):
        for c in (int(column // 1), int(column // 1) + 1):
            if 0 <= r < image.shape[1] and 0 <= c < image.shape[2]:
                total += image[:, r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def reference(module, x, mask, others):
    """One image (C, H, W) -> its change, and where was read (heads, H, W)."""
    heads, levels, points = module.heads, module.levels, module.points
    width = len(x) // heads
    height, across = x.shape[1:]
    x = x * mask
    values = []
    for level, part in enumerate([x, *others]):
        value = torch.einsum("oc,chw->ohw", module.value.weight, part)
        value = value + module.value.bias[:, None, None]
        values.append(value * mask if level == 0 else value)
    change = torch.zeros_like(x)
    heat = torch.zeros(heads, height, across, dtype=x.dtype)
    ones = torch.eye(height * across, dtype=x.dtype).reshape(-1, height, across)
    for r in range(height):
        for c in range(across):
            if not mask[0, r, c]:
                continue
            token = x[:, r, c]
            offset = module.offset.weight @ token + module.offset.bias
            offset = offset.reshape(heads, levels, points, 2)
            logits = module.weight.weight @ token + module.weight.bias
            weights = logits.reshape(heads, -1).softmax(1).reshape(heads, levels, points)
            read = torch.zeros(heads, width, dtype=x.dtype)
            for head in range(heads):
                for level, value in enumerate(values):
                    part = value[head * width : head * width + width]
                    for point in range(points):
                        right, down = offset[head, level, point].tolist()
                        row = (r + 0.5) / height * value.shape[1] - 0.5 + down
                        column = (c + 0.5) / across * value.shape[2] - 0.5 + right
                        share = weights[head, level, point]
                        read[head] += share * bilinear(part, row, column)
                        row = (row + 0.5) / value.shape[1] * height - 0.5
                        column = (column + 0.5) / value.shape[2] * across - 0.5
                        heat[head] += share * bilinear(ones, row, column).reshape(height, across)
            change[:, r, c] = module.output.weight @ read.flatten() + module.output.bias
    return change, heat * mask / mask.sum()


@pytest.mark.parametrize("sizes", [[], [(2, 3)], [(2, 3), (1, 2)]])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_point_by_point(sizes, padded, training, randomise):
    module = build("msda", 8, spatial_dims=2, levels=1 + len(sizes), heads=2, points=3)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    others = [torch.randn(2, 8, *size, dtype=torch.float64) for size in sizes]
    mask = torch.rand(2, 1, 4, 5) < (0.7 if padded else 2)
    with record_maps(module) as maps:
        out = module(x, mask=mask if padded else None, context=others)
    for index in range(2):
        parts = [other[index] for other in others]
        change, heat = reference(module, x[index], mask[index], parts)
        torch.testing.assert_close(out[index], x[index] + change, atol=1e-10, rtol=1e-10)
        found = maps[0].values[index, :, 0]
        torch.testing.assert_close(found, heat.detach(), atol=1e-10, rtol=1e-10)


@pytest.mark.oracle
def test_equals_transformers(randomise):
    library = pytest.importorskip("transformers.models.deformable_detr.modeling_deformable_detr")
    ours = randomise(build("msda", 16, spatial_dims=2, levels=3, heads=4)).double()
    config = pytest.importorskip("transformers").DeformableDetrConfig(
        d_model=16, num_feature_levels=3, use_timm_backbone=False
    )
    theirs = library.DeformableDetrMultiscaleDeformableAttention(config, 4, 4).double()
    pairs = {
        "value": "value_proj",
        "offset": "sampling_offsets",
        "weight": "attention_weights",
        "output": "output_proj",
    }
    for one, other in pairs.items():
        getattr(theirs, other).load_state_dict(getattr(ours, one).state_dict())
    levels = [torch.randn(2, 16, *size, dtype=torch.float64) for size in [(6, 7), (3, 4), (2, 2)]]
    sizes = [tuple(level.shape[2:]) for level in levels]
    tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
    rows, columns = torch.meshgrid(
        (torch.arange(6).double() + 0.5) / 6, (torch.arange(7).double() + 0.5) / 7, indexing="ij"
    )
    places = torch.stack([columns, rows], -1).reshape(1, 42, 1, 2).expand(2, -1, 3, -1)
    lengths = torch.tensor([height * width for height, width in sizes])
    added = theirs(
        hidden_states=levels[0].flatten(2).transpose(1, 2),
        encoder_hidden_states=tokens,
        reference_points=places,
        spatial_shapes=torch.tensor(sizes),
        spatial_shapes_list=sizes,
        level_start_index=lengths.cumsum(0) - lengths,
    )[0]
    expected = levels[0] + added.transpose(1, 2).reshape(levels[0].shape)
    out = ours(levels[0], context=tuple(levels[1:]))
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)


def test_one_point_without_offset_is_a_linear_map():
    module = build("msda", 8, spatial_dims=2, levels=1, points=1)
    torch.nn.init.zeros_(module.offset.bias)
    x = torch.randn(2, 8, 4, 5)
    tokens = x.flatten(2).transpose(1, 2)
    expected = x + module.output(module.value(tokens)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(module(x), expected)


def test_heads_start_in_directions_of_their_own():
    module = build("msda", 8, spatial_dims=2, levels=1, heads=4, points=2)
    start = module.offset.bias.reshape(4, 2, 2)
    ring = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    torch.testing.assert_close(start, torch.stack([ring, 2 * ring], 1), atol=1e-6, rtol=0)


def test_missing_levels_are_named():
    with pytest.raises(ValueError, match="context: expected 1 further levels, got 0"):
        build("msda", 8, spatial_dims=2)(torch.zeros(1, 8, 4, 4))


def test_projections_of_a_new_one_have_no_offset() -> None:
    """As the authors' code begins: only the ring of places is there before anything is learned."""
    torch.manual_seed(0)
    module = build("multi_scale_deformable", 16, spatial_dims=2, heads=4)
    for layer in (module.value, module.output):
        assert (layer.bias == 0).all()
    assert (module.weight.bias == 0).all()


@pytest.mark.parametrize("real", [[(1, 2)], [(0, 0), (1, 2), (2, 3)]])
def test_map_is_a_mean_over_real_positions_however_few(real, randomise):
    """Each reads where it is itself, once."""
    module = randomise(build("multi_scale_deformable", 8, spatial_dims=2, levels=1)).double()
    for parameter in module.offset.parameters():
        torch.nn.init.zeros_(parameter)
    mask = torch.zeros(1, 1, 3, 4, dtype=torch.bool)
    for row, column in real:
        mask[..., row, column] = True
    with torch.no_grad(), record_maps(module) as maps:
        module(torch.randn(2, 8, 3, 4, dtype=torch.float64), mask=mask)
    expected = (mask.double() / len(real)).expand(2, module.heads, 3, 4)
    torch.testing.assert_close(maps[0].values.squeeze(2), expected)
