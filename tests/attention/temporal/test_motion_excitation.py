from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps
from vidattn.attention.temporal.motion_excitation import FrameChange


@pytest.mark.parametrize("grid", [(5,), (5, 4, 3), (1, 4, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_frame_by_frame(grid, training, randomise, normalise):
    module = build("motion_excitation", 16, spatial_dims=len(grid), reduction=4)
    module = randomise(module).double().train(training)
    x = torch.randn(3, 16, *grid, dtype=torch.float64)
    frame = x.reshape(3, 16, grid[0], *(grid[1:] or (1, 1)))
    expected = reference(module.state_dict(), frame, normalise, training=training).reshape(x.shape)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)


def test_still_clip_keeps_all_channels_alike(randomise):
    # Where nothing moves and D passes b on, d is 0 and only the last normalisation is left.
    module = randomise(build("me", 16, reduction=4)).double().eval()
    with torch.no_grad():
        module.change.transform.weight.zero_()
        module.change.transform.weight[:, :, :, 1, 1] = 1
        module.norm.running_mean.zero_()
        module.norm.bias.zero_()
    x = torch.randn(2, 16, 1, 4, 3, dtype=torch.float64).expand(-1, -1, 5, -1, -1)
    torch.testing.assert_close(module(x), x)


def test_padding_is_no_motion(randomise):
    module = randomise(build("me", 16, reduction=4)).double().eval()
    x = torch.randn(2, 16, 5, 4, 3, dtype=torch.float64)
    mask = torch.ones(1, 1, 5, 1, 1, dtype=torch.bool)
    mask[:, :, 2] = False
    with record_maps(module) as maps:
        module(x, mask=mask)
        module(x[:, :, :2])
    # Frame 1 is before padding as it is last in the short clip: no difference in both.
    torch.testing.assert_close(maps[0].values[:, :, :2], maps[1].values)


@pytest.mark.parametrize("grid", [(6,), (6, 2, 3)])
def test_change_from_or_to_padding_is_none(grid, randomise):
    module = randomise(FrameChange(4, 2, spatial_dims=len(grid))).double().eval()
    x = torch.randn(2, 4, *grid, dtype=torch.float64)
    real = torch.tensor([1, 1, 0, 1, 1, 1]).bool()
    mask = real.reshape(1, 1, 6, *[1] * (len(grid) - 1))
    changes = module(x.masked_fill(~mask, 0), mask, backwards=(False, True))
    for step, change in zip((1, -1), changes, strict=True):
        for frame in range(6):
            there = frame + step
            if 0 <= there < 6 and real[frame] and real[there]:
                pair = x[:, :, [frame, there]] if step == 1 else x[:, :, [there, frame]]
                (expected,) = module(pair, None, backwards=(step == -1,))
                expected = expected[:, :, 0 if step == 1 else 1]
                torch.testing.assert_close(change[:, :, frame], expected)
            else:
                assert (change[:, :, frame] == 0).all()


def reference(state, x, normalise, *, training):
    batch, _, frames, height, width = x.shape
    squeezed = torch.einsum("ncthw,kc->nkthw", x, state["change.squeeze.weight"].flatten(1))
    squeezed = normalise(squeezed, state, "change.norm", training=training)
    hidden = squeezed.shape[1]
    taps = state["change.transform.weight"].reshape(hidden, -1)
    taps = (
        taps.reshape(hidden, 3, 3)
        if taps.shape[1] == 9
        else torch.nn.functional.pad(taps.reshape(hidden, 1, 1), (1, 1, 1, 1))
    )
    means = torch.zeros(batch, hidden, frames, dtype=x.dtype)
    for t in range(frames - 1):
        for i in range(height):
            for j in range(width):
                later = torch.zeros(batch, hidden, dtype=x.dtype)
                for u in range(3):
                    for v in range(3):
                        row, column = i + u - 1, j + v - 1
                        if 0 <= row < height and 0 <= column < width:
                            later += taps[:, u, v] * squeezed[:, :, t + 1, row, column]
                means[:, :, t] += (later - squeezed[:, :, t, i, j]) / (height * width)
    scores = torch.einsum("nkt,ck->nct", means, state["excite.weight"][:, :, 0])
    scores = normalise(scores, state, "norm", training=training)
    weights = 1 / (1 + torch.exp(-scores)) - 0.5
    return x + x * weights[..., None, None]
