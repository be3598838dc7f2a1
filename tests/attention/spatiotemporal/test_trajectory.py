from __future__ import annotations

import pytest
import torch

from vidattn.attention import affinity, build, record_maps


def reference(clip, w, heads, slow, *, compat):
    """(C, T, H, W): position by position, frame by frame, head by head."""
    channels, frames, height, width = clip.shape
    size, sites = channels // heads, height * width
    tokens = clip.flatten(1).T
    normed = slow.layer_norm(tokens, w["norm.weight"], w["norm.bias"])
    q, k, v = slow.linear(normed, w, "query_key_value").chunk(3, 1)
    out = tokens.clone()
    joint = torch.zeros(heads, len(tokens), len(tokens), dtype=clip.dtype)
    for p in range(len(tokens)):
        points = torch.zeros(frames, channels, dtype=clip.dtype)
        for t in range(frames):
            there = slice(t * sites, (t + 1) * sites)
            for h in range(heads):
                part = slice(h * size, (h + 1) * size)
                weights = slow.softmax((k[there, part] * q[p, part]).sum(1) / size**0.5)
                joint[h, p, there] = weights
                points[t, part] = (weights[:, None] * v[there, part]).sum(0)
        q2 = slow.linear(points[p // sites], w, "along_query")
        k2 = slow.linear(points, w, "along_key")
        v2 = points if compat else slow.linear(points, w, "along_value")
        mixed = []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            weights = slow.softmax((k2[:, part] * q2[part]).sum(1) / size**0.5)
            joint[h, p] *= weights.repeat_interleave(sites)
            mixed.append((weights[:, None] * v2[:, part]).sum(0))
        out[p] += slow.linear(torch.cat(mixed), w, "output")
    return out.T.reshape(clip.shape), joint


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("compat", [True, False])
def test_equals_formula(compat, training, randomise, slow, close, monkeypatch):
    module = build("trajectory", 6, heads=2, compat=compat)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 6, 3, 2, 4, dtype=torch.float64)
    monkeypatch.setattr(affinity, "CHUNK", 2 * 2 * 24 * 5)
    with record_maps(module, affinities="full") as maps:
        out = module(x)
    for n, clip in enumerate(x):
        expected, joint = reference(clip, module.state_dict(), 2, slow, compat=compat)
        close(out[n], expected)
        close(maps[0].affinity[n], joint)
        close(maps[0].values[n].flatten(1), joint.mean(1))


def test_of_one_frame_it_is_attention_within_it(randomise, close):
    module = randomise(build("trajectory", 8, heads=2, compat=True)).double()
    plain = build("self_attention", 8, heads=2).double()
    plain.load_state_dict(
        {name: part for name, part in module.state_dict().items() if "along" not in name}
    )
    x = torch.randn(2, 8, 1, 3, 4, dtype=torch.float64)
    close(module(x), plain(x))


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match="heads: expected a divisor of 20 channels, got 8"):
        build("trajectory", 20)
