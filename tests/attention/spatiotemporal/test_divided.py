from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


def attention(tokens, w, prefix, heads):
    """One sequence (L, C), head by head, from Vaswani et al., equation 1; also (heads, L, L)."""
    normed = F.layer_norm(
        tokens, tokens.shape[1:], w[f"{prefix}.norm.weight"], w[f"{prefix}.norm.bias"]
    )
    joint = normed @ w[f"{prefix}.query_key_value.weight"].T + w[f"{prefix}.query_key_value.bias"]
    width = tokens.shape[1] // heads
    mixed, rows = [], []
    for head in range(heads):
        q, k, v = (part[:, head * width : (head + 1) * width] for part in joint.chunk(3, dim=1))
        scores = (q @ k.T / width**0.5).exp()
        rows.append(scores / scores.sum(1, keepdim=True))
        mixed.append(rows[-1] @ v)
    out = torch.cat(mixed, 1) @ w[f"{prefix}.output.weight"].T + w[f"{prefix}.output.bias"]
    return tokens + out, torch.stack(rows)


@pytest.mark.parametrize("training", [True, False])
def test_equals_formula_and_maps_are_laid_out_in_the_clip(training, randomise):
    module = randomise(build("divided_space_time", 8, heads=2)).double().train(training)
    w = module.state_dict()
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    expected = x.clone()
    in_time = torch.empty(2, 2, 4, 3, 5, dtype=torch.float64)
    in_space = torch.empty_like(in_time)
    for n in range(2):
        for i in range(3):
            for j in range(5):
                out, rows = attention(expected[n, :, :, i, j].T, w, "temporal.module", 2)
                expected[n, :, :, i, j] = out.T
                in_time[n, :, :, i, j] = rows.mean(1)
        for t in range(4):
            frame = expected[n, :, t].reshape(8, -1).T
            out, rows = attention(frame, w, "spatial.module", 2)
            expected[n, :, t] = out.T.reshape(8, 3, 5)
            in_space[n, :, t] = rows.mean(1).reshape(2, 3, 5)
    with record_maps(module) as maps:
        out = module(x)
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-12)
    close = {"atol": 1e-12, "rtol": 1e-12}
    torch.testing.assert_close(maps.named("temporal.module").values, in_time, **close)
    torch.testing.assert_close(maps.named("spatial.module").values, in_space, **close)


def test_a_new_one_changes_nothing_over_time():
    module = build("divided_space_time", 8, heads=2)
    x = torch.randn(2, 8, 4, 3, 5)
    assert torch.equal(module.temporal(x), x)
    assert torch.equal(module(x), module.spatial(x))


@pytest.mark.oracle
def test_equals_timesformer(randomise):
    """With one register in the place of the class token, which each frame sees a copy of."""
    transformers = pytest.importorskip("transformers")
    modeling = pytest.importorskip("transformers.models.timesformer.modeling_timesformer")
    config = transformers.TimesformerConfig(
        image_size=12,
        patch_size=3,
        num_frames=5,
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=4,
        num_hidden_layers=1,
        layer_norm_eps=1e-5,
        drop_path_rate=0,
    )
    theirs = modeling.TimesformerLayer(config, 0).double().eval()
    ours = randomise(build("divided_space_time", 8, heads=2, registers=1)).double().eval()
    time, space = ours.temporal.module, ours.spatial.module
    with torch.no_grad():
        for mine, norm, attention in (
            (time, theirs.temporal_layernorm, theirs.temporal_attention),
            (space, theirs.layernorm_before, theirs.attention),
        ):
            norm.load_state_dict(mine.norm.state_dict())
            attention.attention.qkv.load_state_dict(mine.query_key_value.state_dict())
            attention.output.dense.load_state_dict(mine.output.state_dict())
        # One linear layer more behind the temporal projection: fold it into ours.
        extra = theirs.temporal_dense
        time.output.bias.copy_(extra.weight @ time.output.bias + extra.bias)
        time.output.weight.copy_(extra.weight @ time.output.weight)
        for parameter in theirs.output.parameters():
            parameter.zero_()  # No MLP.
    x = torch.randn(2, 8, 5, 3, 4, dtype=torch.float64)
    tokens = x.permute(0, 3, 4, 2, 1).flatten(1, 3)  # height, width, time
    tokens = torch.cat((space.registers.expand(2, -1, -1), tokens), 1)
    expected = theirs(tokens)[0][:, 1:].unflatten(1, (3, 4, 5)).permute(0, 4, 3, 1, 2)
    torch.testing.assert_close(ours(x), expected, atol=1e-10, rtol=1e-10)


def test_every_frame_reads_from_its_registers_and_no_site_does(randomise):
    """Registers are positions that are read from, of the same number type and norm as others."""
    module = randomise(build("divided_space_time", 8, heads=2, registers=3)).double()
    w = module.state_dict()
    assert {name for name in w if "registers" in name} == {"spatial.module.registers"}
    assert w["spatial.module.registers"].shape == (3, 8)
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    expected = torch.empty_like(x)
    seen = module.temporal(x).detach()
    for n in range(2):
        for t in range(4):
            frame = torch.cat([seen[n, :, t].reshape(8, -1).T, w["spatial.module.registers"]])
            out, _ = attention(frame, w, "spatial.module", 2)
            expected[n, :, t] = out[:15].T.reshape(8, 3, 5)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)
    without = build("divided_space_time", 8, heads=2).double()
    without.load_state_dict({name: one for name, one in w.items() if "registers" not in name})
    assert (without(x) - expected).abs().max() > 1e-3
