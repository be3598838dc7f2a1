from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(5,), (5, 4, 3), (1, 4, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_sum_of_three_residual_gates(grid, training, randomise, normalise):
    module = build("action", 16, spatial_dims=len(grid), reduction=4)
    module = randomise(module).double().train(training)
    x = torch.randn(3, 16, *grid, dtype=torch.float64)
    shifted, gates = reference(module.state_dict(), x, normalise, training=training)
    expected = sum(shifted + shifted * gate for gate in gates)
    torch.testing.assert_close(module(x).reshape(shifted.shape), expected, atol=1e-11, rtol=1e-10)
    with record_maps(module) as maps:
        module(x)
    applied = maps[0].values.reshape(3, 16, *shifted.shape[2:])
    torch.testing.assert_close(applied, 3 + sum(gates), atol=1e-11, rtol=1e-10)


def test_all_three_see_the_shifted_clip(randomise):
    # With the middle taps at 0 and the others too, nothing of x is left to see.
    module = randomise(build("action", 16, reduction=4)).double().eval()
    with torch.no_grad():
        module.shift.weight.zero_()
    x = torch.randn(2, 16, 5, 4, 3, dtype=torch.float64)
    with record_maps(module) as maps:
        assert (module(x) == 0).all()
        module(torch.zeros_like(x))
    assert torch.equal(maps[0].values, maps[1].values)


def test_new_one_starts_with_the_shift_of_the_paper():
    weight = build("action", 16, division=4).shift.weight
    assert weight[:4].tolist() == [[0, 0, 1]] * 4
    assert weight[4:8].tolist() == [[1, 0, 0]] * 4
    assert weight[8:].tolist() == [[0, 1, 0]] * 8


def test_the_gates_see_a_sixteenth_of_the_channels():
    assert build("action", 32).channel_squeeze.out_channels == 2
    assert build("action", 8).channel_squeeze.out_channels == 1


def reference(state, x, normalise, *, training):
    """The shifted clip, and the three gates, each (N, C or 1, T, H or 1, W or 1)."""
    x = x.reshape(*x.shape[:3], *(x.shape[3:] or (1, 1)))
    batch, channels, frames, height, width = x.shape
    shifted = torch.zeros_like(x)
    for t in range(frames):
        for k in range(3):
            if 0 <= t + k - 1 < frames:
                taps = state["shift.weight"][:, k].reshape(1, channels, 1, 1)
                shifted[:, :, t] += taps * x[:, :, t + k - 1]

    # In 1-D a kernel is the middle of one that is as large in space.
    moment_taps = state["moments.weight"]
    if moment_taps.ndim == 3:
        moment_taps = F.pad(moment_taps[..., None, None], (1, 1, 1, 1))
    mean = F.pad(shifted.sum(1) / channels, (1, 1, 1, 1, 1, 1))
    moments = torch.zeros(batch, frames, height, width, dtype=x.dtype)
    for a in range(3):
        for b in range(3):
            for c in range(3):
                part = mean[:, a : a + frames, b : b + height, c : c + width]
                moments += moment_taps[0, 0, a, b, c] * part

    means = shifted.sum((3, 4)) / (height * width)
    squeezed = torch.einsum("nct,kc->nkt", means, state["channel_squeeze.weight"][:, :, 0])
    squeezed = F.pad(squeezed, (1, 1))
    mixed = sum(
        torch.einsum(
            "nkt,jk->njt", squeezed[:, :, k : k + frames], state["channel_mix.weight"][:, :, k]
        )
        for k in range(3)
    )
    channel = torch.einsum(
        "nkt,ck->nct", mixed.clamp(min=0), state["channel_excite.weight"][:, :, 0]
    )

    narrow = torch.einsum("ncthw,kc->nkthw", shifted, state["change.squeeze.weight"].flatten(1))
    shape = narrow.shape if state["change.squeeze.weight"].ndim == 5 else narrow.shape[:3]
    narrow = normalise(narrow.reshape(shape), state, "change.norm", training=training)
    narrow = narrow.reshape(batch, -1, frames, height, width)
    hidden = narrow.shape[1]
    taps = state["change.transform.weight"].reshape(hidden, -1)
    taps = taps if taps.shape[1] == 9 else F.pad(taps, (4, 4))
    motion_means = torch.zeros(batch, hidden, frames, dtype=x.dtype)
    for t in range(frames - 1):
        later = F.pad(narrow[:, :, t + 1], (1, 1, 1, 1))
        moved = sum(
            taps[:, 3 * u + v].reshape(1, -1, 1, 1) * later[:, :, u : u + height, v : v + width]
            for u in range(3)
            for v in range(3)
        )
        motion_means[:, :, t] = (moved - narrow[:, :, t]).mean((2, 3))
    motion = torch.einsum("nkt,ck->nct", motion_means, state["motion_excite.weight"][:, :, 0])

    scores = (moments.unsqueeze(1), channel[..., None, None], motion[..., None, None])
    return shifted, tuple(1 / (1 + torch.exp(-score)) for score in scores)
