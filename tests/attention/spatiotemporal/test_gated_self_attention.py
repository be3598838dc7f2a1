from __future__ import annotations

import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 2, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise, slow, close):
    module = build("gated_self_attention", 8, spatial_dims=len(grid), heads=2)
    module = randomise(module).double().train(training)
    w = module.state_dict()
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    expected = []
    for one in x:
        tokens = one.flatten(1).T
        normed = slow.layer_norm(tokens, w["norm.weight"], w["norm.bias"])
        q, k, v = slow.linear(normed, w, "query_key_value").chunk(3, 1)
        gate = 1 / (1 + (-slow.linear(normed, w, "gate")).exp())
        mixed = slow.heads_of(q, k, v, 2)[0] * gate
        expected.append((tokens + slow.linear(mixed, w, "output")).T.reshape(one.shape))
    close(module(x), torch.stack(expected))


@pytest.mark.oracle
def test_equals_timm(randomise, close):
    layers = pytest.importorskip("timm.layers")
    ours = randomise(build("gated_self_attention", 8, heads=2)).double().eval()
    theirs = layers.Attention(8, num_heads=2, qkv_bias=True, gated=True).double().eval()
    theirs.qkv.load_state_dict(ours.query_key_value.state_dict())
    theirs.gate.load_state_dict(ours.gate.state_dict())
    theirs.proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    added = theirs(ours.norm(x.flatten(2).transpose(1, 2)))
    close(ours(x), x + added.transpose(1, 2).reshape(x.shape))
