from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_torch_multihead_attention(grid, padded, training, randomise):
    ours = randomise(build("self_attention", 16, spatial_dims=len(grid), heads=4)).double()
    theirs = torch_twin(ours, 16, 4).train(training)
    x = torch.randn(3, 16, *grid, dtype=torch.float64)
    mask = torch.rand(3, 1, *grid) < 0.7 if padded else None
    tokens = x.flatten(2).transpose(1, 2)
    normed = F.layer_norm(tokens, (16,), ours.norm.weight, ours.norm.bias)
    ignored = None if mask is None else ~mask.flatten(1)
    added, _ = theirs(normed, normed, normed, key_padding_mask=ignored)
    added = added.transpose(1, 2).reshape(x.shape)
    expected = x + (added if mask is None else added * mask)
    out = ours.train(training)(x, mask=mask)
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-12)


def test_whole_affinity_equals_torch_weights(randomise):
    ours = randomise(build("self_attention", 16, heads=4)).double()
    theirs = torch_twin(ours, 16, 4)
    x = torch.randn(3, 16, 3, 4, 5, dtype=torch.float64)
    normed = F.layer_norm(x.flatten(2).transpose(1, 2), (16,), ours.norm.weight, ours.norm.bias)
    _, rows = theirs(normed, normed, normed, average_attn_weights=False)
    with record_maps(ours, affinities="full") as maps:
        ours(x)
    torch.testing.assert_close(maps[0].affinity, rows, atol=1e-12, rtol=1e-12)
    expected = rows.mean(2).reshape(3, 4, 3, 4, 5)
    torch.testing.assert_close(maps[0].values, expected, atol=1e-12, rtol=1e-12)


def test_a_gate_weighs_what_torch_reads_of_registers_too(randomise):
    ours = build("self_attention", 16, spatial_dims=1, heads=4, gated=True, registers=2)
    randomise(ours).double()
    with torch.no_grad():
        ours.output.weight.copy_(torch.eye(16))
        ours.output.bias.zero_()
    theirs = torch_twin(ours, 16, 4)
    x = torch.randn(3, 16, 6, dtype=torch.float64)
    tokens = torch.cat((x.transpose(1, 2), ours.registers.expand(3, -1, -1)), 1)
    seen = F.layer_norm(tokens, (16,), ours.norm.weight, ours.norm.bias)
    normed = seen[:, :6]
    read, _ = theirs(normed, seen, seen)
    gate = 1 / (1 + torch.exp(-normed @ ours.gate.weight.T - ours.gate.bias))
    torch.testing.assert_close(ours(x), x + (read * gate).transpose(1, 2), atol=1e-12, rtol=1e-12)


def test_permuting_positions_permutes_the_result(randomise):
    module = randomise(build("self_attention", 16, spatial_dims=1)).double()
    x = torch.randn(2, 16, 9, dtype=torch.float64)
    order = torch.randperm(9)
    torch.testing.assert_close(module(x)[:, :, order], module(x[:, :, order]))


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("self_attention", 20)


def torch_twin(ours, channels: int, heads: int) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(channels, heads, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.query_key_value.weight)
        theirs.in_proj_bias.copy_(ours.query_key_value.bias)
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    return theirs


def test_registers_take_their_share_and_are_not_in_the_map(randomise):
    ours = build("self_attention", 8, spatial_dims=1, heads=2, registers=3)
    randomise(ours).double().eval()
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    with torch.no_grad(), record_maps(ours) as maps:
        ours(x)
        tokens = torch.cat((x.transpose(1, 2), ours.registers.expand(2, -1, -1)), 1)
        query, key, _ = ours.query_key_value(ours.norm(tokens)).chunk(3, 2)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        shares = (query[:, :5, part] @ key[..., part].transpose(1, 2) / 2).softmax(2)
        torch.testing.assert_close(maps[0].values[:, head].flatten(1), shares.mean(1)[:, :5])


def test_registers_start_small():
    torch.manual_seed(0)
    registers = build("self_attention", 64, registers=32).registers
    assert 0.9e-6 < registers.std() < 1.1e-6
