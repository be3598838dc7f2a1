from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


@pytest.fixture
def module(randomise):
    return randomise(build("factorised_dot_product", 8, heads=4)).double()


def reference(x, w, slow):
    """All heads see all L positions, through masks: same frame for two heads, same site for two."""
    frames, height, width = x.shape[2:]
    grid = torch.cartesian_prod(*(torch.arange(size) for size in (frames, height, width)))
    same_frame = grid[:, None, 0] == grid[None, :, 0]
    same_site = (grid[:, None, 1:] == grid[None, :, 1:]).all(2)
    out, affinities = [], []
    for clip in x:
        tokens = clip.flatten(1).T
        normed = slow.layer_norm(tokens, w["norm.weight"], w["norm.bias"])
        halves, rows = [], []
        for name, seen in (("spatial", same_frame), ("temporal", same_site)):
            q, k, v = slow.linear(normed, w, f"{name}.module.query_key_value").chunk(3, 1)
            mixed, weights = slow.heads_of(q, k, v, 2, seen)
            halves.append(mixed)
            rows.append(weights)
        out.append((tokens + slow.linear(torch.cat(halves, 1), w, "output")).T.reshape(clip.shape))
        affinities.append(torch.stack(rows))
    return torch.stack(out), torch.stack(affinities)


@pytest.mark.parametrize("training", [True, False])
def test_equals_attention_with_masks(training, module, slow, close):
    x = torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    expected, rows = reference(x, module.state_dict(), slow)
    with record_maps(module) as maps:
        close(module.train(training)(x), expected)
    # A position is seen from H·W or T queries: the mean over those.
    in_frame, at_site = rows.sum(3).reshape(2, 2, 2, 4, 3, 5).unbind(1)
    close(maps.named("spatial.module").values, in_frame / 15)
    close(maps.named("temporal.module").values, at_site / 4)


def test_as_many_parameters_as_one_attention(module):
    whole = build("self_attention", 8, heads=4)
    count = [sum(part.numel() for part in one.parameters()) for one in (module, whole)]
    assert count[0] == count[1]


@pytest.mark.parametrize("heads", [1, 3, 16])
def test_heads_must_be_an_even_divisor(heads):
    with pytest.raises(ValueError, match=f"even divisor of 24 channels, got {heads}"):
        build("factorised_dot_product", 24, heads=heads)
