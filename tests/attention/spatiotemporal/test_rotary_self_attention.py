from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build

AXES = {1: [0], 2: [1, 2], 3: [0, 1, 2]}


def turn(x, position, rank, base, *, compat=False):
    """One head's vector (width,) at a position, pair by pair, as complex numbers are turned."""
    out = x.clone()
    part = 2 * (len(x) // 6)
    for axis, where in zip(AXES[rank], position, strict=True):
        start = axis * part
        for pair in range(part // 2):
            first, second = x[start + 2 * pair], x[start + 2 * pair + 1]
            for offset in (0, 1):
                speed = (2 * pair + offset) % (part // 2) if compat else pair
                angle = where * base ** (-2 * speed / part)
                turned = (
                    first * math.cos(angle) - second * math.sin(angle),
                    second * math.cos(angle) + first * math.sin(angle),
                )
                out[start + 2 * pair + offset] = turned[offset]
    return out


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 2, 5)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("compat", [True, False])
def test_equals_formula(grid, training, compat, randomise, slow, close):
    module = build(
        "rotary_self_attention", 28, spatial_dims=len(grid), heads=2, base=100.0, compat=compat
    )
    module = randomise(module).double().train(training)
    w = module.state_dict()
    x = torch.randn(2, 28, *grid, dtype=torch.float64)
    places = torch.cartesian_prod(*(torch.arange(size) for size in grid)).reshape(-1, len(grid))
    expected = []
    for one in x:
        tokens = one.flatten(1).T
        normed = slow.layer_norm(tokens, w["norm.weight"], w["norm.bias"])
        q, k, v = slow.linear(normed, w, "query_key_value").chunk(3, 1)
        q, k = (
            torch.stack(
                [
                    torch.cat(
                        [
                            turn(half, place, len(grid), 100.0, compat=compat)
                            for half in row.chunk(2)
                        ]
                    )
                    for row, place in zip(part, places.tolist(), strict=True)
                ]
            )
            for part in (q, k)
        )
        mixed, _ = slow.heads_of(q, k, v, 2)
        expected.append((tokens + slow.linear(mixed, w, "output")).T.reshape(one.shape))
    close(module(x), torch.stack(expected))


@pytest.mark.parametrize("compat", [True, False])
def test_products_depend_on_offsets_only_unless_compatible(compat):
    rotary = build("rotary_self_attention", 24, heads=1, compat=compat).rotary
    q, k = torch.randn(2, 24, dtype=torch.float64)
    grid = (4, 5, 6)
    turned_q, turned_k = (
        rotary(one.expand(1, 1, 120, 24), grid).reshape(*grid, 24) for one in (q, k)
    )
    moved = [
        (turned_q[t + 1, h + 2, w + 3] * turned_k[t, h, w]).sum()
        for t in range(3)
        for h in range(3)
        for w in range(3)
    ]
    spread = (torch.stack(moved) - moved[0]).abs().max()
    assert (spread > 1e-3) if compat else (spread < 1e-12)


def test_narrow_heads_are_refused():
    with pytest.raises(ValueError, match="heads: rotary positions need heads of at least 6"):
        build("rotary_self_attention", 16, heads=4)


@pytest.mark.oracle
def test_compatible_one_equals_hugging_face(randomise, close):
    transformers = pytest.importorskip("transformers")
    modeling = pytest.importorskip("transformers.models.vjepa2.modeling_vjepa2")
    config = transformers.VJEPA2Config(
        hidden_size=28, crop_size=4, patch_size=1, frames_per_clip=3, tubelet_size=1
    )
    config._attn_implementation = "sdpa"  # The other one rounds to single precision.
    theirs = modeling.VJEPA2RopeAttention(config, 28, 2).double().eval()
    ours = randomise(build("rotary_self_attention", 28, heads=2, compat=True)).double().eval()
    weights = [part.chunk(3) for part in ours.query_key_value.parameters()]
    with torch.no_grad():
        for index, name in enumerate(("query", "key", "value")):
            getattr(theirs, name).weight.copy_(weights[0][index])
            getattr(theirs, name).bias.copy_(weights[1][index])
        theirs.proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(2, 28, 3, 4, 4, dtype=torch.float64)
    added, _ = theirs(ours.norm(x.flatten(2).transpose(1, 2)))
    close(ours(x), x + added.transpose(1, 2).reshape(x.shape))
