from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.swin_transformer import ShiftedWindowAttentionV2

from vidattn.attention import build


def reference(module, x, mask, window, *, shifted):
    """One sample (C, *grid), by masking full attention among all positions."""
    weights = dict(module.named_parameters())
    grid = x.shape[1:]
    tokens = x.flatten(1).T
    bias = torch.cat([weights["query_bias"], 0 * weights["query_bias"], weights["value_bias"]])
    projected = tokens @ weights["query_key_value.weight"].T + bias
    heads = len(weights["log_scale"])
    query, key, value = projected.reshape(len(tokens), 3, heads, -1).permute(1, 2, 0, 3)
    query, key = (part / part.norm(dim=2, keepdim=True) for part in (query, key))
    logits = query @ key.transpose(1, 2)
    logits = logits * weights["log_scale"].exp().clamp(max=100)
    sites = torch.cartesian_prod(*(torch.arange(size) for size in grid)).reshape(-1, len(grid))
    moved = [shifted * (one // 2) * (size > one) for size, one in zip(grid, window, strict=True)]
    group = (sites - torch.tensor(moved)).div(torch.tensor(window), rounding_mode="floor")
    allowed = (group[:, None] == group[None]).all(2) & mask.flatten()[None]
    offset = (sites[:, None] - sites[None]).double() / (torch.tensor(window) - 1)
    seen = torch.where(offset < 0, -1.0, 1.0) * torch.log2(1 + 8 * offset.abs()) / math.log2(8)
    hidden = F.relu(seen @ weights["bias_hidden.weight"].T + weights["bias_hidden.bias"])
    learned = 16 / (1 + torch.exp(-hidden @ weights["bias_output.weight"].T))
    logits = (logits + learned.permute(2, 0, 1)).masked_fill(~allowed, -1e30)
    mixed = (logits.softmax(2) @ value).permute(1, 0, 2).flatten(1)
    out = mixed @ weights["output.weight"].T + weights["output.bias"]
    out = F.layer_norm(out, out.shape[1:], weights["norm.weight"], weights["norm.bias"])
    return x + (out * mask.reshape(-1, 1)).T.reshape(x.shape)


@pytest.mark.parametrize(
    ("grid", "window"), [((5,), (3,)), ((5, 7), (2, 3)), ((4, 6), (5, 4)), ((3, 5, 4), (2, 3, 6))]
)
@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_masked_full_attention(grid, window, shifted, padded, training, randomise):
    module = build("swin_v2", 8, spatial_dims=len(grid), window=window, heads=2, shifted=shifted)
    module = randomise(module).double().train(training)
    with torch.no_grad():
        module.log_scale.copy_(torch.tensor([1.5, 5.0]).reshape(2, 1, 1))  # e⁵ is above the bound
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.7 if padded else 2)
    out = module(x, mask=mask if padded else None)
    for index in range(2):
        expected = reference(module, x[index], mask[index], window, shifted=shifted)
        torch.testing.assert_close(out[index], expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("grid", "window"), [((6, 9), (3, 3)), ((7, 5), (3, 2)), ((2, 7), (4, 3))])
def test_equals_torchvision_image(grid, window, shifted, training, randomise):
    ours = build("swin_v2", 8, spatial_dims=2, window=window, heads=2, shifted=shifted, compat=True)
    ours = randomise(ours).double().train(training)
    shift = [one // 2 if shifted else 0 for one in window]
    theirs = ShiftedWindowAttentionV2(8, list(window), shift, 2).double().train(training)
    # Theirs are made in single precision.
    axes = [8 * torch.arange(1 - one, one).double() / (one - 1) for one in window]
    axes = [torch.sign(one) * torch.log2(one.abs() + 1) / 3 for one in axes]
    theirs.relative_coords_table = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)[None]
    with torch.no_grad():
        theirs.qkv.weight.copy_(ours.query_key_value.weight)
        theirs.qkv.bias.copy_(torch.cat([ours.query_bias, ours.query_bias, ours.value_bias]))
        theirs.proj.load_state_dict(ours.output.state_dict())
        theirs.logit_scale.copy_(ours.log_scale)
        theirs.cpb_mlp[0].load_state_dict(ours.bias_hidden.state_dict())
        theirs.cpb_mlp[2].load_state_dict(ours.bias_output.state_dict())
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mixed = theirs(x.movedim(1, -1))
    expected = x + F.layer_norm(mixed, (8,), ours.norm.weight, ours.norm.bias).movedim(-1, 1)
    torch.testing.assert_close(ours(x), expected, atol=1e-10, rtol=1e-10)


def test_window_of_one_position_is_finite():
    module = build("swin_v2", 8, window=(1, 3, 3), heads=2)
    assert module(torch.randn(1, 8, 2, 4, 4)).isfinite().all()
