from __future__ import annotations

import pytest
import torch

from vidattn.attention import build


def encode(tokens, w, prefix, depth, heads, slow):
    """(L, C) -> its summary (C,) and the weights (L,) of the last layer's class token."""
    tokens = torch.cat((w[f"{prefix}.token"][None], tokens))
    for index in range(depth):
        block = f"{prefix}.first" if index == 0 else f"{prefix}.others.{index - 1}"
        normed = slow.layer_norm(tokens, w[f"{block}.norm.weight"], w[f"{block}.norm.bias"])
        q, k, v = slow.linear(normed, w, f"{block}.query_key_value").chunk(3, 1)
        mixed, rows = slow.heads_of(q, k, v, heads)
        tokens = tokens + slow.linear(mixed, w, f"{block}.output")
        inner = f"{block}.feed_forward"
        hidden = slow.layer_norm(tokens, w[f"{inner}.norm.weight"], w[f"{inner}.norm.bias"])
        hidden = slow.gelu(slow.linear(hidden, w, f"{inner}.widen"))
        tokens = tokens + slow.linear(hidden, w, f"{inner}.narrow")
    seen = rows[:, 0, 1:]
    weights = (seen / seen.sum(1, keepdim=True)).mean(0)
    return slow.layer_norm(tokens[0], w[f"{prefix}.norm.weight"], w[f"{prefix}.norm.bias"]), weights


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("depths", [(1, 1), (2, 3)])
def test_equals_formula(depths, training, randomise, slow, close):
    module = build(
        "factorised_encoder", 8, heads=2, spatial_depth=depths[0], temporal_depth=depths[1]
    )
    module = randomise(module).double().train(training)
    w = module.state_dict()
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    out = module(x)
    for n, clip in enumerate(x):
        frames = [
            encode(frame.flatten(1).T, w, "spatial", depths[0], 2, slow) for frame in clip.unbind(1)
        ]
        summaries = torch.stack([summary for summary, _ in frames])
        features, moments = encode(summaries, w, "temporal", depths[1], 2, slow)
        regions = torch.stack([weights for _, weights in frames])
        close(out.features[n], features)
        close(out.weights[n], (moments[:, None] * regions).reshape(4, 3, 5))
    close(out.scores.flatten(1).softmax(1), out.weights.flatten(1))
    close(out.region_weights, out.weights / out.weights.sum((2, 3), keepdim=True))


def test_order_of_frames_is_not_seen(randomise, close):
    module = randomise(build("factorised_encoder", 8, heads=2)).double()
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    order = [2, 0, 3, 1]
    out, mixed = module(x), module(x[:, :, order])
    close(mixed.features, out.features)
    close(mixed.weights, out.weights[:, order])


@pytest.mark.oracle
def test_equals_vit_pytorch(randomise, close):
    vivit = pytest.importorskip("vit_pytorch.vivit")
    ours = build("factorised_encoder", 8, heads=2, spatial_depth=2, hidden_channels=20)
    ours = randomise(ours).double().eval()
    theirs = vivit.ViViT(
        image_size=(3, 5),
        image_patch_size=1,
        frames=4,
        frame_patch_size=1,
        num_classes=7,
        dim=8,
        spatial_depth=2,
        temporal_depth=1,
        heads=2,
        dim_head=4,
        mlp_dim=20,
        channels=8,
    )
    theirs = theirs.double().eval()
    theirs.to_patch_embedding = torch.nn.Identity()
    theirs.mlp_head = torch.nn.Identity()
    with torch.no_grad():
        theirs.pos_embedding.zero_()
        theirs.spatial_cls_token.copy_(ours.spatial.token)
        theirs.temporal_cls_token.copy_(ours.temporal.token)
        copy_weights(ours.spatial, theirs.spatial_transformer)
        copy_weights(ours.temporal, theirs.temporal_transformer)
    x = torch.randn(3, 8, 4, 3, 5, dtype=torch.float64)
    close(ours(x).features, theirs(x.flatten(3).permute(0, 2, 3, 1)))


def copy_weights(ours, theirs) -> None:
    for block, (attention, feed_forward) in zip(
        [ours.first, *ours.others], theirs.layers, strict=True
    ):
        block.query_key_value.bias.zero_()  # They have none.
        attention.norm.load_state_dict(block.norm.state_dict())
        attention.to_qkv.weight.copy_(block.query_key_value.weight)
        attention.to_out[0].load_state_dict(block.output.state_dict())
        feed_forward.net[0].load_state_dict(block.feed_forward.norm.state_dict())
        feed_forward.net[1].load_state_dict(block.feed_forward.widen.state_dict())
        feed_forward.net[4].load_state_dict(block.feed_forward.narrow.state_dict())
    theirs.norm.load_state_dict(ours.norm.state_dict())
