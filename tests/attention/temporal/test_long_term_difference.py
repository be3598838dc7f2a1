from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(5, 4, 6), (4, 7, 5), (1, 2, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_frame_by_frame(grid, training, randomise, normalise):
    module = randomise(build("ltdm", 16, reduction=4)).double().train(training)
    x = torch.randn(2, 16, *grid, dtype=torch.float64)
    expected = reference(module.state_dict(), x, normalise, training=training)
    torch.testing.assert_close(module(x), expected, atol=1e-11, rtol=1e-10)


def test_reversed_clip_gives_the_reversed_result(randomise):
    # Forward and backward count alike, unless one is computed from the other.
    module = randomise(build("ltdm", 16, reduction=4)).double().eval()
    x = torch.randn(2, 16, 5, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(module(x.flip(2)).flip(2), module(x))


def test_padding_is_no_difference(randomise):
    module = randomise(build("ltdm", 16, reduction=4)).double().eval()
    x = torch.randn(2, 16, 5, 4, 4, dtype=torch.float64)
    mask = torch.ones(1, 1, 5, 1, 1, dtype=torch.bool)
    mask[:, :, 2] = False
    with record_maps(module) as maps:
        module(x, mask=mask)
        module(x[:, :, :2])
        module(x[:, :, 3:])
    torch.testing.assert_close(maps[0].values[:, :, :2], maps[1].values)
    torch.testing.assert_close(maps[0].values[:, :, 3:], maps[2].values)


def test_one_pixel_frames_are_refused():
    with pytest.raises(ValueError, match=r"expected H and W of at least 2, got \(4, 1\)"):
        build("ltdm", 16)(torch.zeros(1, 16, 3, 4, 1))


def reference(state, x, normalise, *, training):
    frames, height, width = x.shape[2:]

    def convolve(maps, name):
        """One frame, (N, K, H, W), with a full 3 × 3 kernel, by shifts."""
        taps, around = state[f"{name}.weight"][:, :, 0], F.pad(maps, (1, 1, 1, 1))
        rows, columns = maps.shape[2:]
        return sum(
            torch.einsum(
                "nkhw,jk->njhw", around[:, :, u : u + rows, v : v + columns], taps[:, :, u, v]
            )
            for u in range(3)
            for v in range(3)
        )

    def every_frame(function, clip):
        return torch.stack([function(clip[:, :, t]) for t in range(clip.shape[2])], dim=2)

    def depthwise(maps):
        taps, around = state["change.transform.weight"][:, 0, 0], F.pad(maps, (1, 1, 1, 1))
        return sum(
            taps[:, u, v].reshape(1, -1, 1, 1) * around[:, :, u : u + height, v : v + width]
            for u in range(3)
            for v in range(3)
        )

    def half_scale(maps):
        small = torch.zeros(*maps.shape[:2], height // 2, width // 2, dtype=x.dtype)
        for i in range(height // 2):
            for j in range(width // 2):
                block = maps[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                small[:, :, i, j] = block.mean((2, 3))
        return convolve(small, "half_scale")

    def enlarge(maps):
        rows = [i * (height // 2) // height for i in range(height)]
        columns = [j * (width // 2) // width for j in range(width)]
        return maps[:, :, rows][:, :, :, columns]

    narrow = torch.einsum("ncthw,kc->nkthw", x, state["change.squeeze.weight"].flatten(1))
    narrow = normalise(narrow, state, "change.norm", training=training)
    moved = every_frame(depthwise, narrow)
    forward, backward = torch.zeros_like(narrow), torch.zeros_like(narrow)
    for t in range(frames):
        if t + 1 < frames:
            forward[:, :, t] = moved[:, :, t + 1] - narrow[:, :, t]
        if t > 0:
            backward[:, :, t] = moved[:, :, t - 1] - narrow[:, :, t]

    def full_scale(change):
        full = every_frame(lambda maps: convolve(maps, "full_scale"), change)
        return normalise(full, state, "full_norm", training=training)

    def gate(change):
        full = full_scale(change)
        half = every_frame(half_scale, change)
        half = every_frame(enlarge, normalise(half, state, "half_norm", training=training))
        scores = torch.einsum(
            "nkthw,ck->ncthw", (change + half + full) / 3, state["excite.weight"].flatten(1)
        )
        scores = normalise(scores, state, "norm", training=training)
        return 1 / (1 + torch.exp(-scores)) - 0.5

    weights = 0.5 * gate(forward) + 0.5 * gate(backward)
    return x + x * weights
