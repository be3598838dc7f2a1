from __future__ import annotations

import pytest
import torch

from vidattn.attention import PerFrame, build, record_maps


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 2, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_attention_among_positions_and_registers(grid, training, randomise, slow, close):
    module = build("register_self_attention", 8, spatial_dims=len(grid), heads=2, registers=3)
    module = randomise(module).double().train(training)
    w = module.state_dict()
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    length = x[0, 0].numel()
    with record_maps(module, affinities="full") as maps:
        out = module(x)
    for n, one in enumerate(x):
        tokens = torch.cat((one.flatten(1).T, w["registers"]))
        normed = slow.layer_norm(tokens, w["norm.weight"], w["norm.bias"])
        q, k, v = slow.linear(normed, w, "query_key_value").chunk(3, 1)
        mixed, rows = slow.heads_of(q, k, v, 2)
        everyone = tokens + slow.linear(mixed, w, "output")
        close(out[n], everyone[:length].T.reshape(one.shape))
        close(maps[0].affinity[n], rows[:, :length])
        close(maps[0].values[n].flatten(1), rows[:, :length, :length].mean(1))


def test_registers_start_small_and_can_be_none():
    assert build("register_self_attention", 16).registers.abs().max() < 1e-4
    assert build("register_self_attention", 16, registers=0).registers is None
    with pytest.raises(ValueError, match="registers: expected 0 or more, got -1"):
        build("register_self_attention", 16, registers=-1)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["joint_space_time", "space_only"])
def test_one_register_is_the_class_token_of_timesformer(kind, randomise, close):
    transformers = pytest.importorskip("transformers")
    modeling = pytest.importorskip("transformers.models.timesformer.modeling_timesformer")
    config = transformers.TimesformerConfig(
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=4,
        num_hidden_layers=1,
        layer_norm_eps=1e-5,
        drop_path_rate=0,
        attention_type=kind,
    )
    theirs = modeling.TimesformerLayer(config, 0).double().eval()
    ours = build("register_self_attention", 8, heads=2, registers=1)
    ours = randomise(ours).double().eval()
    with torch.no_grad():
        theirs.layernorm_before.load_state_dict(ours.norm.state_dict())
        theirs.attention.attention.qkv.load_state_dict(ours.query_key_value.state_dict())
        theirs.attention.output.dense.load_state_dict(ours.output.state_dict())
        for parameter in theirs.output.parameters():
            parameter.zero_()  # No MLP.
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    if kind == "joint_space_time":
        out, tokens = ours(x), x.permute(0, 3, 4, 2, 1).flatten(1, 3)
    else:
        out, tokens = PerFrame(ours)(x), x.permute(0, 2, 3, 4, 1).flatten(2, 3).flatten(0, 1)
    class_token = ours.registers.expand(len(tokens), -1, -1)
    expected = theirs(torch.cat((class_token, tokens), 1))[0][:, 1:]
    if kind == "joint_space_time":
        expected = expected.unflatten(1, (4, 5, 3)).permute(0, 4, 3, 1, 2)
    else:
        expected = expected.unflatten(0, (2, 3)).unflatten(2, (4, 5)).permute(0, 4, 1, 2, 3)
    close(out, expected)
