from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build


def attention(tokens, w, prefix, heads, slow):
    """One sequence (L, C)."""
    normed = slow.layer_norm(tokens, w[f"{prefix}.norm.weight"], w[f"{prefix}.norm.bias"])
    q, k, v = slow.linear(normed, w, f"{prefix}.query_key_value").chunk(3, 1)
    return tokens + slow.linear(slow.heads_of(q, k, v, heads)[0], w, f"{prefix}.output")


def over_space(x, w, slow):
    flat = [
        [attention(one.flatten(1).T, w, "spatial.module", 2, slow) for one in clip.unbind(1)]
        for clip in x
    ]
    return torch.stack([torch.stack(clip) for clip in flat]).movedim(3, 1).reshape(x.shape)


def over_time(x, w, slow):
    out = x.clone()
    for n in range(x.shape[0]):
        for i in range(x.shape[3]):
            for j in range(x.shape[4]):
                site = attention(x[n, :, :, i, j].T, w, "temporal.module", 2, slow)
                out[n, :, :, i, j] = site.T
    return out


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("order", ["space_time", "time_space"])
def test_equals_formula(order, training, randomise, slow, close):
    module = build("factorised_self_attention", 8, heads=2, order=order)
    module = randomise(module).double().train(training)
    w = module.state_dict()
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    if order == "space_time":
        expected = over_time(over_space(x, w, slow), w, slow)
        wrong = over_space(over_time(x, w, slow), w, slow)
    else:
        expected = over_space(over_time(x, w, slow), w, slow)
        wrong = over_time(over_space(x, w, slow), w, slow)
    close(module(x), expected)
    assert (expected - wrong).abs().max() > 1e-3


def test_time_first_is_divided_attention(randomise, close):
    ours = randomise(build("factorised_self_attention", 8, heads=2, order="time_space")).double()
    divided = build("divided_space_time", 8, heads=2).double()
    divided.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    close(ours(x), divided(x))


def test_a_network_of_images_stays_one_at_first(close):
    module = build("factorised_self_attention", 8, heads=2).double()
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    close(module(x), module.spatial(x))


def test_unknown_order_is_refused():
    with pytest.raises(ValueError, match="order: expected 'space_time' or 'time_space', got 'x'"):
        build("factorised_self_attention", 8, order="x")


@pytest.mark.oracle
def test_equals_vit_pytorch(randomise, close):
    vivit = pytest.importorskip("vit_pytorch.vivit")
    ours = randomise(build("factorised_self_attention", 8, heads=2)).double().eval()
    theirs = vivit.FactorizedTransformer(8, 1, 2, 4, 16).double().eval()
    spatial, temporal, feed_forward = theirs.layers[0]
    with torch.no_grad():
        for mine, other in ((ours.spatial.module, spatial), (ours.temporal.module, temporal)):
            mine.query_key_value.bias.zero_()  # They have none.
            other.norm.load_state_dict(mine.norm.state_dict())
            other.to_qkv.weight.copy_(mine.query_key_value.weight)
            other.to_out[0].load_state_dict(mine.output.state_dict())
        for parameter in feed_forward.net[4].parameters():
            parameter.zero_()
    x = torch.randn(3, 8, 4, 3, 5, dtype=torch.float64)
    out = theirs(x.flatten(3).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).reshape(x.shape)
    close(F.layer_norm(ours(x).movedim(1, -1), (8,)).movedim(-1, 1), out)
