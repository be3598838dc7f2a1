from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps
from vidattn.attention.spatiotemporal.space_time_mixing import shift_over_time


def reference(x, w, heads, count, slow, *, across_heads=False):
    """Frame by frame; keys and values of the neighbours are looked up channel by channel."""
    out, rows = x.clone(), []
    frames = x.shape[2]
    width = x.shape[1] // (1 if across_heads else heads)
    for n, clip in enumerate(x):
        normed = [
            slow.layer_norm(frame.flatten(1).T, w["norm.weight"], w["norm.bias"])
            for frame in clip.unbind(1)
        ]
        pairs = [slow.linear(frame, w, "key_value").chunk(2, 1) for frame in normed]
        for t in range(frames):
            k, v = (part.clone() for part in pairs[t])
            for which, part in enumerate((k, v)):
                for channel in range(x.shape[1]):
                    source = {0: t + 1, 1: t - 1}.get(channel % width // count, t)
                    inside = 0 <= source < frames
                    part[:, channel] = pairs[source][which][:, channel] if inside else 0
            mixed, weights = slow.heads_of(slow.linear(normed[t], w, "query"), k, v, heads)
            rows.append(weights.mean(1))
            out[n, :, t] += slow.linear(mixed, w, "output").T.reshape(clip[:, t].shape)
    return out, torch.stack(rows).unflatten(0, (len(x), frames)).transpose(1, 2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("heads", "divisor", "count"), [(2, 4, 1), (1, 4, 2), (2, 2, 2), (4, 4, 1)]
)
def test_equals_formula(heads, divisor, count, training, randomise, slow, close):
    module = build("space_time_mixing", 8, heads=heads, divisor=divisor)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, 4, 3, 2, dtype=torch.float64)
    expected, rows = reference(x, module.state_dict(), heads, count, slow)
    with record_maps(module) as maps:
        close(module(x), expected)
    close(maps[0].values.flatten(3), rows)


@pytest.mark.parametrize(("heads", "divisor", "count"), [(4, 4, 2), (2, 8, 1), (4, 3, 2)])
def test_shift_across_heads_equals_formula(heads, divisor, count, randomise, slow, close):
    """As the authors' code, which lays the heads' channels out as one axis before it shifts."""
    settings = {"heads": heads, "divisor": divisor, "across_heads": True}
    module = randomise(build("space_time_mixing", 8, **settings)).double()
    x = torch.randn(2, 8, 4, 3, 2, dtype=torch.float64)
    weights = module.state_dict()
    expected, _ = reference(x, weights, heads, count, slow, across_heads=True)
    close(module(x), expected)
    within, _ = reference(x, weights, heads, max(1, 8 // heads // divisor), slow)
    assert not torch.allclose(within, expected)


def test_a_frame_is_seen_by_its_neighbours_only(randomise):
    module = randomise(build("space_time_mixing", 8, heads=2)).double()
    x = torch.randn(1, 8, 6, 3, 2, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 2] += torch.randn(8, 3, 2)
    moved = (module(changed) - module(x)).abs().amax((0, 1, 3, 4)) > 1e-9
    assert moved.tolist() == [False, True, True, True, False, False]


def test_shift_of_one_frame_is_zeros():
    shifted = shift_over_time(torch.ones(1, 1, 2, 5), 2)
    assert shifted[0, 0, 0].tolist() == [0, 0, 0, 0, 1]


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="heads: expected a divisor of 8 channels that leaves 2"):
        build("space_time_mixing", 8, heads=8)
    with pytest.raises(ValueError, match="divisor: expected 2 or more, got 1"):
        build("space_time_mixing", 8, heads=2, divisor=1)
