from __future__ import annotations

import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise, slow, close):
    module = build("attentive_probe", 8, spatial_dims=len(grid), heads=2)
    module = randomise(module).double().train(training)
    w = module.state_dict()
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    out = module(x)
    for n, one in enumerate(x):
        normed = slow.layer_norm(one.flatten(1).T, w["norm.weight"], w["norm.bias"])
        k, v = slow.linear(normed, w, "key_value").chunk(2, 1)
        q = slow.linear(w["probe"], w, "query")
        z, rows = [], []
        for part in (slice(0, 4), slice(4, 8)):
            scores = torch.stack([(q[part] * key).sum() / 2 for key in k[:, part]])
            rows.append(slow.softmax(scores))
            z.append((rows[-1][:, None] * v[:, part]).sum(0))
        z = w["probe"] + torch.cat(z)
        prefix = "feed_forward"
        hidden = slow.layer_norm(z, w[f"{prefix}.norm.weight"], w[f"{prefix}.norm.bias"])
        hidden = slow.gelu(slow.linear(hidden, w, f"{prefix}.widen"))
        close(out.features[n], z + slow.linear(hidden, w, f"{prefix}.narrow"))
        close(out.weights[n].flatten(), torch.stack(rows).mean(0))
    close(out.scores.flatten(1).softmax(1), out.weights.flatten(1))


def test_scores_of_one_head_are_its_logits(randomise, close):
    module = randomise(build("attentive_probe", 8, spatial_dims=1, heads=1)).double()
    x = torch.randn(2, 8, 5, dtype=torch.float64)
    longer = torch.cat((x, torch.randn(2, 8, 4, dtype=torch.float64)), 2)
    close(module(longer).scores[:, :5], module(x).scores)


def test_the_feed_forward_is_four_times_as_wide():
    assert build("attentive_probe", 8, heads=2).feed_forward.widen.out_features == 32


@pytest.mark.oracle
def test_equals_hugging_face(randomise, close):
    transformers = pytest.importorskip("transformers")
    modeling = pytest.importorskip("transformers.models.vjepa2.modeling_vjepa2")
    config = transformers.VJEPA2Config(
        hidden_size=8, num_attention_heads=2, num_pooler_layers=0, layer_norm_eps=1e-5
    )
    config._attn_implementation = "sdpa"  # The other one rounds to single precision.
    theirs = modeling.VJEPA2AttentivePooler(config).double().eval()
    ours = randomise(build("attentive_probe", 8, heads=2)).double().eval()
    layer = theirs.cross_attention_layer
    key, value = (part.chunk(2) for part in ours.key_value.parameters())
    with torch.no_grad():
        theirs.query_tokens.copy_(ours.probe)
        layer.layer_norm1.load_state_dict(ours.norm.state_dict())
        layer.cross_attn.q_proj.load_state_dict(ours.query.state_dict())
        for index, projection in enumerate((layer.cross_attn.k_proj, layer.cross_attn.v_proj)):
            projection.weight.copy_(key[index])
            projection.bias.copy_(value[index])
        layer.layer_norm2.load_state_dict(ours.feed_forward.norm.state_dict())
        layer.mlp.fc1.load_state_dict(ours.feed_forward.widen.state_dict())
        layer.mlp.fc2.load_state_dict(ours.feed_forward.narrow.state_dict())
    x = torch.randn(3, 8, 4, 3, 5, dtype=torch.float64)
    close(ours(x).features, theirs(x.flatten(2).transpose(1, 2)))
