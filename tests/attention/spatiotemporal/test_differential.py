from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 2, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, training, randomise, slow, close):
    module = build("differential", 12, spatial_dims=len(grid), heads=2, depth=3)
    module = randomise(module).double().train(training)
    w = module.state_dict()
    start = 0.8 - 0.6 * math.exp(-0.9)
    q1, k1, q2, k2 = w["balance"]
    factor = math.exp(q1 @ k1) - math.exp(q2 @ k2) + start
    x = torch.randn(2, 12, *grid, dtype=torch.float64)
    with record_maps(module, affinities="full") as maps:
        out = module(x)
    for n, one in enumerate(x):
        tokens = one.flatten(1).T
        normed = slow.layer_norm(tokens, w["norm.weight"], w["norm.bias"])
        query, key, value = slow.linear(normed, w, "query_key_value").chunk(3, 1)
        mixed = []
        for head in range(2):
            pairs = []
            for which in range(2):
                part = slice(3 * (2 * head + which), 3 * (2 * head + which) + 3)
                pairs.append(slow.softmax(query[:, part] @ key[:, part].T / 3**0.5))
            rows = pairs[0] - factor * pairs[1]
            close(maps[0].affinity[n, head], rows)
            close(maps[0].values[n, head].flatten(), rows.mean(0))
            read = rows @ value[:, 6 * head : 6 * head + 6]
            read = read / (read.pow(2).mean(1, keepdim=True) + 1e-5).sqrt() * w["head_norm.weight"]
            mixed.append(read * (1 - start))
        expected = (tokens + slow.linear(torch.cat(mixed, 1), w, "output")).T.reshape(one.shape)
        close(out[n], expected)


def test_nothing_taken_off_is_plain_attention(randomise, close):
    module = randomise(build("differential", 12, heads=2)).double()
    with torch.no_grad():
        module.balance.zero_()
        # exp(a · b) - exp(0) + 0.2 = 0
        module.balance[0, 0], module.balance[1, 0] = 1.0, math.log(0.8)
    x = torch.randn(2, 12, 3, 2, 4, dtype=torch.float64)
    with record_maps(module, affinities="full") as maps:
        module(x)
    assert (maps[0].affinity >= 0).all()
    close(maps[0].affinity.sum(3), torch.ones(2, 2, 24, dtype=torch.float64))


@pytest.mark.oracle
def test_equals_timm(randomise, close):
    timm = pytest.importorskip("timm.layers.diff_attention")
    ours = randomise(build("differential", 12, heads=2, depth=2)).double().eval()
    theirs = timm.DiffAttention(12, num_heads=2, depth=2).double().eval()
    with torch.no_grad():
        theirs.qkv.load_state_dict(ours.query_key_value.state_dict())
        theirs.proj.load_state_dict(ours.output.state_dict())
        theirs.sub_norm.weight.copy_(ours.head_norm.weight)
        for index, name in enumerate(("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")):
            getattr(theirs, name).copy_(ours.balance[index])
    # Theirs rounds to single precision on the way.
    torch.testing.assert_close(theirs._compute_lambda(), ours.factor().float())
    theirs._compute_lambda = ours.factor
    x = torch.randn(2, 12, 3, 4, 5, dtype=torch.float64)
    added = theirs(ours.norm(x.flatten(2).transpose(1, 2)))
    close(ours(x), x + added.transpose(1, 2).reshape(x.shape))


def test_heads_must_divide_half_the_channels():
    with pytest.raises(ValueError, match="divisor of half of 12 channels, got 4"):
        build("differential", 12, heads=4)
